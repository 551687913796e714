// Drives a network with steps.txt and prints a line for each utterance, as rough.v does. A line of steps.txt
// is a kind and a number: 0 an event of this unit; 1 the end of a step; 2 the end of an utterance; 3 an abort, so
// many cycles later. What isn't valid has garbage.
module steps #(
`include "network.vh"
);
    localparam UNIT_BITS = $clog2(N_UNITS + 1);
    reg clk = 0, rst = 1, event_valid = 0, step_end = 0, utterance_end = 0, abort = 0, out_ready = 0;
    reg [UNIT_BITS-1:0] event_unit = 0;
    wire event_ready, step_ready, out_valid, out_last;
    wire signed [31:0] out_score;
    wire [15:0] out_class, out_answer;
    spiking_network dut (.clk(clk), .rst(rst), .event_valid(event_valid), .event_ready(event_ready),
        .event_unit(event_unit), .step_end(step_end), .step_ready(step_ready),
        .utterance_end(utterance_end), .abort(abort), .out_valid(out_valid), .out_ready(out_ready),
        .out_last(out_last), .out_class(out_class), .out_score(out_score), .out_answer(out_answer),
        .load_valid(1'b0), .read_valid(1'b0), .load_memory(3'd0), .load_address(24'd0),
        .load_data({LANES*LOAD_BITS{1'b0}}), .read_data(), .load_refused(), .mon_valid(),
        .mon_neuron(), .mon_spike(), .mon_mem());
    always #1 clk = ~clk;

    integer file, found, kind, number, i;
    initial begin
        repeat (2) @(negedge clk);
        rst = 0;
        file = $fopen("steps.txt", "r");
        found = $fscanf(file, "%d %d", kind, number);
        while (found == 2) begin
            case (kind)
                0: begin
                    event_valid = 1;
                    event_unit = number;
                    while (!event_ready) @(negedge clk);
                end
                1: begin
                    step_end = 1;
                    while (!step_ready) @(negedge clk);
                end
                2: begin
                    utterance_end = 1;
                    while (!step_ready) @(negedge clk);
                end
                default: begin
                    repeat (number) @(negedge clk);
                    abort = 1;
                end
            endcase
            @(negedge clk) {event_valid, step_end, utterance_end, abort} = 0;
            event_unit = $urandom;
            if (kind == 2) begin
                out_ready = 1;
                for (i = 0; i < N_CLASSES; i = i + 1) begin
                    while (!out_valid) @(negedge clk);
                    if (out_class != i || out_last != (i == N_CLASSES - 1)) $display("order");
                    $write("%0d ", out_score);
                    if (out_last) $write("%0d\n", out_answer);
                    @(negedge clk);
                end
                out_ready = 0;
            end
            found = $fscanf(file, "%d %d", kind, number);
        end
        $finish(0);
    end
endmodule
