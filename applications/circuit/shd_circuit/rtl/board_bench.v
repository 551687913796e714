// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// A bench that checks itself, for Icarus Verilog and Verilator (5.0 or newer, --binary): it speaks to
// shd_top over the serial port, as board.py does. If the memories can be loaded, it loads them from the
// .mem files. Then it sends the spikes of vectors.txt, and compares class, scores and flags with
// expected.txt. Prints a line for each utterance that differs, and at the end "PASS" or "FAIL".
// +utterances=n compares the first n alone; +vectors=edges.txt +expected=edges_expected.txt takes
// other files.
`default_nettype none
module board_bench #(
`include "network.vh"
    ,
    parameter CLOCK_HZ = 12000000,
    parameter BAUD = 1000000
);
    localparam BIT = 2 * ((CLOCK_HZ + BAUD / 2) / BAUD); // units of time of a bit: a cycle has two
    localparam WORD_BYTES = (LANES * LOAD_BITS + 7) / 8; // of a memory word
    localparam ANSWER_BYTES = 4 * N_CLASSES + 3; // M, the scores, the class, the flags
    reg clk = 0;
    reg rx = 1;
    wire tx;
    shd_top #(
        .MEM_PATH(MEM_PATH), .CLOCK_HZ(CLOCK_HZ), .BAUD(BAUD)
    ) dut (
        .clk(clk),
        .rst_n(1'b1),
        .rx(rx),
        .tx(tx),
        .aer_req_n(1'b1),
        .aer_unit(10'd0),
        .aer_ack_n(),
        .late_led(),
        .overrun_led()
    );
    reg is_done = 0;
    initial while (!is_done) #1 clk = !clk; // without a clock the simulation ends

    // --- what the board sends: its last bytes, the latest one in the highest bits ------------------
    reg [8*ANSWER_BYTES-1:0] answer;
    reg [7:0] received;
    integer n_received = 0;
    integer received_bit;
    always @(negedge tx) if (!is_done) begin
        #(BIT / 2);
        for (received_bit = 0; received_bit < 8; received_bit = received_bit + 1) begin
            #BIT received[received_bit] = tx;
        end
        #BIT answer = {received, answer[8*ANSWER_BYTES-1:8]};
        n_received = n_received + 1;
    end

    // --- what is sent to the board -----------------------------------------------------------------
    integer sent_bit;
    integer i;
    task send(input [7:0] data); begin
        rx = 0;
        for (sent_bit = 0; sent_bit < 8; sent_bit = sent_bit + 1) #BIT rx = data[sent_bit];
        #BIT rx = 1;
        #BIT;
    end endtask

    integer file;
    reg [8*1024-1:0] name; // of a file, with its path
    reg [LANES*LOAD_BITS-1:0] word;
    task load(input [7:0] memory); begin
        file = $fopen(name, "r");
        for (address = 0; $fscanf(file, "%h", word) == 1; address = address + 1) begin
            send("L");
            send(memory);
            for (i = 0; i < 3; i = i + 1) send(address >> 8 * i);
            for (i = 0; i < WORD_BYTES; i = i + 1) send(word >> 8 * i);
        end
        $fclose(file);
    end endtask
    integer address;

    task load_all; begin
        name = {MEM_PATH, "weight1.mem"};
        load(0);
        name = {MEM_PATH, "weight2.mem"};
        load(1);
        name = {MEM_PATH, "threshold.mem"};
        load(2);
        name = {MEM_PATH, "leak.mem"};
        load(3);
        name = {MEM_PATH, "bias.mem"};
        load(4);
    end endtask

    integer ms;
    integer unit;
    task send_spike; begin
        if (ms > 65535) ms = 65535;
        send("t");
        send(ms);
        send(ms >> 8);
        send(unit);
        send(unit >> 8);
    end endtask

    // --- utterances --------------------------------------------------------------------------------
    integer vectors;
    integer expected;
    integer found;
    integer wanted;
    integer limit;
    integer n_utterances = 0;
    integer n_wrong = 0;
    reg is_wrong;
    reg is_open = 0; // an utterance has begun
    integer char;
    integer n_numbers = 0; // of a line
    integer number;
    reg is_digit;
    reg was_digit;

    // Reads a line of vectors.txt, as in bench.v.
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

    // Ends an utterance, and compares the answer with a line of expected.txt.
    task end_utterance; begin
        n_received = 0;
        send("E");
        while (n_received < ANSWER_BYTES) @(negedge clk);
        found = $fscanf(expected, "%d", wanted);
        is_wrong = found != 1 || answer[7:0] != "M" || answer[8*(4*N_CLASSES+1) +: 8] != wanted;
        for (i = 0; i < N_CLASSES; i = i + 1) begin
            found = $fscanf(expected, "%d", wanted);
            if (found != 1 || answer[8*(4*i+1) +: 32] != wanted) is_wrong = 1;
        end
        if (answer[8*(4*N_CLASSES+2) +: 8] != 0) begin
            is_wrong = 1;
            $display("utterance %0d: flags %b", n_utterances, answer[8*(4*N_CLASSES+2) +: 8]);
        end
        if (is_wrong) begin
            n_wrong = n_wrong + 1;
            $display("utterance %0d: not the expected answer", n_utterances);
        end
        n_utterances = n_utterances + 1;
        is_open = 0;
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
        if (vectors == 0 || expected == 0) begin
            $display("FAIL: a file can't be opened");
            limit = 0;
        end
        #100; // the board resets itself
        if (WRITABLE != 0 && limit != 0) load_all;
        char = -1;
        if (limit != 0) read_line;
        while ((char >= 0 || n_numbers != 0) && n_utterances < limit) begin
            is_open = n_numbers == 2;
            if (is_open) send_spike;
            else end_utterance;
            read_line;
        end
        if (is_open && n_utterances < limit) end_utterance; // the last one ends with the file
        if (n_wrong == 0 && n_utterances != 0) $display("PASS: %0d utterances", n_utterances);
        else $display("FAIL: %0d of %0d utterances", n_wrong, n_utterances);
        is_done = 1;
    end
endmodule
`default_nettype wire
