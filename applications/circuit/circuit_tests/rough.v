// Drives a core with sends.txt and prints a line for each utterance: each class's count, and the answer. A line of
// sends.txt is a kind, a millisecond and a unit: 0 a spike; 1 the end of an utterance; 2 an end after which only
// so many counts are fetched as its millisecond says; 3 a reset, so many cycles later. With +rough there are
// pauses with garbage on what isn't valid, and counts are fetched at any time. loads.txt, where there
// is one, is written first: memory, address, and a memory word in hex.
module rough #(
`include "network.vh"
);
    wire signed [31:0] out_score;
    reg clk = 0, rst = 1, in_valid = 0, in_end = 0, out_ready = 0;
    reg [15:0] in_ms = 0;
    reg [9:0] in_unit = 0;
    reg load_valid = 0;
    reg [2:0] load_memory;
    reg [23:0] load_address;
    reg [LANES*LOAD_BITS-1:0] load_data;
    wire in_ready, out_valid, out_last;
    wire [15:0] out_class, out_answer;
    core dut (.clk(clk), .rst(rst), .in_valid(in_valid), .in_end(in_end), .in_ms(in_ms),
        .in_unit(in_unit), .in_ready(in_ready), .out_valid(out_valid), .out_last(out_last),
        .out_class(out_class), .out_score(out_score), .out_answer(out_answer),
        .out_ready(out_ready), .load_valid(load_valid), .load_memory(load_memory),
        .load_address(load_address), .load_data(load_data), .read_valid(1'b0), .read_data(), .load_refused(),
        .mon_valid(), .mon_neuron(), .mon_spike(), .mon_mem());
    always #1 clk = ~clk;

    integer file, found, kind, ms, unit, i, late, n_fetched;
    reg is_rough;

    task send(input is_end); begin
        if (is_rough) repeat (($urandom & 1) * ($urandom & 3)) begin
            @(negedge clk) {in_end, out_ready, in_ms, in_unit} = $urandom;
        end
        @(negedge clk) in_valid = 1; in_end = is_end; in_ms = ms; in_unit = unit; out_ready = 0;
        while (!in_ready) @(negedge clk);
        @(negedge clk) in_valid = 0;
    end endtask

    initial begin
        is_rough = $test$plusargs("rough");
        repeat (2) @(negedge clk);
        rst = 0;
        file = $fopen("loads.txt", "r");
        if (file != 0)
            while ($fscanf(file, "%d %d %h", load_memory, load_address, load_data) == 3) begin
                load_valid = 1;
                @(negedge clk) load_valid = 0;
            end
        file = $fopen("sends.txt", "r");
        found = $fscanf(file, "%d %d %d", kind, ms, unit);
        while (found == 3) begin
            if (kind == 3) begin
                repeat (ms + 1) @(negedge clk);
                rst = 1;
                @(negedge clk) rst = 0;
            end else send(kind != 0);
            n_fetched = kind == 1 ? N_CLASSES : kind == 2 ? ms : 0;
            for (i = 0; i < n_fetched; i = i + 1) begin
                while (!out_valid) @(negedge clk);
                late = is_rough ? $urandom & 3 : i % 3;
                repeat (late) @(negedge clk); // ready comes late, and is taken away again
                out_ready = 1;
                if (out_class != i || out_last != (i == N_CLASSES - 1)) $display("order");
                if (kind == 1) $write("%0d ", out_score);
                if (out_last) $write("%0d\n", out_answer);
                @(negedge clk) out_ready = 0;
            end
            found = $fscanf(file, "%d %d %d", kind, ms, unit);
        end
        $finish(0);
    end
endmodule
