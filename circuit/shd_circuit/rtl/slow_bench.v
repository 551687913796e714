// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// Drives slow_top in real time, in Verilator: S, then each spike of vectors.txt as an address event in
// its millisecond, E after the window. Prints the answers as reference.c does; at the end the cycles of
// the slow clock, and of them those in which the clock that stops has run. The clocks are those of an
// iCEBreaker: 12 MHz, divided by six. +utterances=n takes the first n alone.
`default_nettype none
module slow_bench #(
`include "network.vh"
    ,
    parameter CLOCK_HZ = 12000000,
    parameter DIVIDE = 6,
    parameter BAUD = 115200
);
    localparam SLOW_HZ = CLOCK_HZ / DIVIDE;
    localparam TICKS = 2 * DIVIDE; // units of time of a slow cycle: each half of a cycle of clk is one
    localparam BIT = (SLOW_HZ + BAUD / 2) / BAUD; // slow cycles of a bit
    localparam MS = SLOW_HZ / 1000; // and of a millisecond
    localparam WINDOW_MS = N_STEPS * POOL_STEPS * BIN_MS;
    reg clk = 0;
    reg rx = 1;
    reg aer_req_n = 1;
    reg [9:0] aer_unit = 0;
    wire tx;
    wire aer_ack_n;
    slow_top #(
        .CLOCK_HZ(CLOCK_HZ), .DIVIDE(DIVIDE), .BAUD(BAUD)
    ) dut (
        .clk(clk),
        .rst_n(1'b1),
        .rx(rx),
        .tx(tx),
        .aer_req_n(aer_req_n),
        .aer_unit(aer_unit),
        .aer_ack_n(aer_ack_n),
        .late_led(),
        .overrun_led()
    );
    reg is_done = 0;
    initial while (!is_done) #1 clk = !clk;

    integer cycles = 0;
    integer awake = 0;
    always @(negedge dut.slow_clk) begin
        cycles <= cycles + 1;
        if (dut.gate) awake <= awake + 1;
    end

    integer vectors;
    integer char;
    integer n_numbers;
    integer number;
    integer ms;
    integer unit;
    integer start; // of the utterance, in slow cycles
    integer i;
    integer sent_bit;
    integer received_bit;
    integer limit;
    integer n_utterances = 0;
    integer first_cycle;
    integer first_awake;
    reg is_digit;
    reg was_digit;
    reg is_open = 0;
    reg [7:0] received;
    reg [8*(4*N_CLASSES+3)-1:0] message;

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

    task send(input [7:0] data); begin
        rx = 0;
        #(TICKS * BIT);
        for (sent_bit = 0; sent_bit < 8; sent_bit = sent_bit + 1) begin
            rx = data[sent_bit];
            #(TICKS * BIT);
        end
        rx = 1;
        #(TICKS * BIT);
    end endtask

    task give_event; begin
        aer_unit = unit;
        aer_req_n = 0;
        while (aer_ack_n) #(TICKS);
        aer_req_n = 1;
        while (!aer_ack_n) #(TICKS);
    end endtask

    task begin_utterance; begin
        send("S");
        start = cycles;
        is_open = 1;
    end endtask

    // Waits until it is some time after a millisecond has begun, from the utterance's beginning on.
    task wait_until(input integer wanted_ms); begin
        while (cycles < start + wanted_ms * MS + MS / 10) #(TICKS);
    end endtask

    task receive; begin // a byte
        while (tx) #(TICKS);
        #(TICKS * BIT / 2);
        for (received_bit = 0; received_bit < 8; received_bit = received_bit + 1) begin
            #(TICKS * BIT);
            received[received_bit] = tx;
        end
        #(TICKS * BIT);
    end endtask

    task end_utterance; begin
        wait_until(WINDOW_MS);
        fork
            send("E");
            for (i = 0; i < 4 * N_CLASSES + 3; i = i + 1) begin
                receive;
                message[8*i +: 8] = received;
            end
        join
        $write("%0d", message[8*(4*N_CLASSES+1) +: 8]);
        for (i = 0; i < N_CLASSES; i = i + 1) $write(" %0d", $signed(message[8*(4*i+1) +: 32]));
        $write("\n");
        if (message[8*(4*N_CLASSES+2) +: 8] != 0) $display("flags");
        n_utterances = n_utterances + 1;
        is_open = 0;
    end endtask

    initial begin
        vectors = $fopen("vectors.txt", "r");
        limit = 1 << 30;
        if ($value$plusargs("utterances=%d", limit)) ;
        #(2000 * TICKS);
        first_cycle = cycles;
        first_awake = awake;
        read_line;
        while ((char >= 0 || n_numbers != 0) && n_utterances < limit) begin
            if (!is_open) begin_utterance;
            if (n_numbers != 2) end_utterance;
            else if (ms < WINDOW_MS) begin
                wait_until(ms);
                give_event;
            end
            read_line;
        end
        if (is_open && n_utterances < limit) end_utterance; // the last one ends with the file
        $display("cycles %0d %0d", cycles - first_cycle, awake - first_awake);
        is_done = 1;
    end
endmodule
`default_nettype wire
