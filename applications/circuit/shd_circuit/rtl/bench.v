// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// A bench that checks itself, for Icarus Verilog, Verilator (5.0 or newer, --binary) and others:
// sends the spikes of vectors.txt to the core, and compares its scores with expected.txt. Prints a
// line for each utterance that differs, and at the end "PASS" or "FAIL". The last utterance may end
// with the file, without an empty line. +utterances=n compares the first n alone; +vectors=edges.txt +expected=edges_expected.txt takes other files.
`default_nettype none
module bench #(
`include "network.vh"
);
    reg clk = 0;
    reg rst = 1;
    reg in_valid = 0;
    reg in_end = 0;
    reg [15:0] in_ms = 0;
    reg [9:0] in_unit = 0;
    reg out_ready = 0;
    wire in_ready;
    wire out_valid;
    wire out_last;
    wire signed [31:0] out_score;
    wire [15:0] out_answer;
    core #(
        .MEM_PATH(MEM_PATH)
    ) dut (
        .clk(clk),
        .rst(rst),
        .in_valid(in_valid),
        .in_ready(in_ready),
        .in_end(in_end),
        .in_ms(in_ms),
        .in_unit(in_unit),
        .out_valid(out_valid),
        .out_ready(out_ready),
        .out_last(out_last),
        .out_class(),
        .out_score(out_score),
        .out_answer(out_answer),
        .load_valid(1'b0),
        .read_valid(1'b0),
        .load_memory(3'd0),
        .load_address(24'd0),
        .load_data({LANES*LOAD_BITS{1'b0}}),
        .read_data(),
        .load_refused(),
        .mon_valid(),
        .mon_neuron(),
        .mon_spike(),
        .mon_mem()
    );
    reg is_done = 0;
    initial while (!is_done) #1 clk = !clk; // without a clock the simulation ends

    integer vectors;
    integer expected;
    integer found;
    integer char;
    integer n_numbers = 0; // of a line
    integer number;
    integer ms;
    integer unit;
    integer wanted;
    integer wanted_answer;
    integer limit;
    integer n_utterances = 0;
    integer n_wrong = 0;
    reg is_open = 0; // an utterance has begun
    reg is_wrong;
    reg is_last;
    reg is_digit;
    reg was_digit;
    reg [8*1024-1:0] name; // of a file, with its path

    // Reads a line of vectors.txt: how many numbers it has, and the first two. char is negative at the
    // end of the file.
    task read_line; begin
        n_numbers = 0;
        was_digit = 0;
        char = $fgetc(vectors);
        while (char >= 0 && char != "\n") begin
            is_digit = char >= "0" && char <= "9";
            if (is_digit && !was_digit) begin
                n_numbers = n_numbers + 1;
                number = 0;
            end
            if (is_digit) number = 10 * number + char - "0";
            if (n_numbers == 1) ms = number;
            if (n_numbers == 2) unit = number;
            was_digit = is_digit;
            char = $fgetc(vectors);
        end
    end endtask

    task send(input is_end); begin
        in_end = is_end;
        in_ms = ms > 65535 ? 65535 : ms;
        in_unit = unit;
        in_valid = 1;
        while (!in_ready) @(negedge clk);
        @(negedge clk) in_valid = 0;
    end endtask

    // Takes all scores of an utterance, and compares them with a line of expected.txt.
    task check; begin
        found = $fscanf(expected, "%d", wanted_answer);
        is_wrong = found != 1;
        is_last = 0;
        out_ready = 1;
        while (!is_last) begin
            while (!out_valid) @(negedge clk);
            found = $fscanf(expected, "%d", wanted);
            if (found != 1 || out_score != wanted) is_wrong = 1;
            is_last = out_last;
            if (is_last && out_answer != wanted_answer) is_wrong = 1;
            @(negedge clk);
        end
        out_ready = 0;
        if (is_wrong) begin
            n_wrong = n_wrong + 1;
            $display("utterance %0d: not the expected scores", n_utterances);
        end
        n_utterances = n_utterances + 1;
    end endtask

    initial begin
        name = {MEM_PATH, "vectors.txt"};
        if ($value$plusargs("vectors=%s", name)) ;
        vectors = $fopen(name, "r");
        name = {MEM_PATH, "expected.txt"};
        if ($value$plusargs("expected=%s", name)) ;
        expected = $fopen(name, "r");
        limit = 1 << 30;
        if ($value$plusargs("utterances=%d", limit)) ;
        if (vectors == 0 || expected == 0) $display("FAIL: a file can't be opened");
        repeat (2) @(negedge clk);
        `define MEMORIES dut.the_network.the_parameters
        if (^{`MEMORIES.weight1[`MEMORIES.ROWS1-1], `MEMORIES.weight2[`MEMORIES.ROWS2-1],
            `MEMORIES.number[2*`MEMORIES.GROUPS-1], `MEMORIES.number[3*`MEMORIES.GROUPS-1],
            `MEMORIES.number[4*`MEMORIES.GROUPS-1]} === 1'bx)
        begin
            $display("FAIL: a .mem file has too few numbers");
            limit = 0;
        end
        rst = 0;
        char = -1;
        if (vectors != 0 && expected != 0 && limit != 0) read_line;
        while ((char >= 0 || n_numbers != 0) && n_utterances < limit) begin
            is_open = n_numbers == 2;
            send(!is_open);
            if (!is_open) check;
            read_line;
        end
        if (is_open && n_utterances < limit) begin
            send(1);
            check;
        end
        if (n_wrong == 0 && n_utterances != 0) $display("PASS: %0d utterances", n_utterances);
        else $display("FAIL: %0d of %0d utterances", n_wrong, n_utterances);
        is_done = 1;
    end
endmodule
`default_nettype wire
