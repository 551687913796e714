// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// Plays samples.bin (16 bits each, high byte first) to the front end, each as soon as it is ready.
// Prints what is seen, one thing in each line:
//   b channel   an event of a step    s status   the end of the step
//   e channel   the network takes an event, and / a step's end, . an utterance's end
//   x           the utterance is dropped, because the network was too slow if it is X
// The network takes something in one of four cycles. With +busy=n it is busy for n cycles after a
// step. With +reset=n there is a reset after n samples.
`timescale 1ns / 1ns
`default_nettype none
module listening;
    reg clk = 0;
    always #1 clk = !clk;
    reg rst = 1;
    reg sample_valid = 0;
    wire sample_ready;
    reg [15:0] sample;
    wire out_valid;
    reg out_ready = 0;
    wire out_step_end;
    wire out_utterance_end;
    wire [6:0] out_channel;
    wire abort;
    wire active;
    wire overrun;
    wire step_end;
    wire [2:0] status;
    wire bit_valid;
    wire bit_event;
    front_end front_end (
        .clk(clk),
        .rst(rst),
        .sample_valid(sample_valid),
        .sample_ready(sample_ready),
        .sample(sample),
        .out_valid(out_valid),
        .out_ready(out_ready),
        .out_step_end(out_step_end),
        .out_utterance_end(out_utterance_end),
        .out_channel(out_channel),
        .abort(abort),
        .active(active),
        .overrun(overrun),
        .step_end(step_end),
        .status(status),
        .bit_valid(bit_valid),
        .bit_event(bit_event)
    );

    integer channel = 0; // of the next bit
    integer busy = 0;
    integer busy_cycles = 0;
    always @(posedge clk) begin
        if (bit_valid && bit_event && !rst) $display("b %0d", channel);
        if (bit_valid) channel = channel + 1;
        if (step_end && !rst) $display("s %0d", status);
        if (step_end || rst) channel = 0;
        if (rst) busy = 0;
        else if (abort) $display(overrun ? "X" : "x");
        else if (out_valid && out_ready && out_step_end) $display("/");
        else if (out_valid && out_ready && out_utterance_end) $display(".");
        else if (out_valid && out_ready) $display("e %0d", out_channel);
        busy = out_valid && out_ready && out_step_end ? busy_cycles : busy - (busy != 0);
    end
    always @(negedge clk) out_ready = busy == 0 && $random % 4 == 0;

    integer file;
    integer n_samples = 0;
    integer reset_after = -1;
    initial begin
        if ($value$plusargs("busy=%d", busy_cycles)) begin end
        if ($value$plusargs("reset=%d", reset_after)) begin end
        file = $fopen("samples.bin", "rb");
        repeat (2) @(negedge clk);
        rst = 0;
        while ($fread(sample, file) == 2) begin
            sample_valid = 1;
            while (!sample_ready) @(negedge clk);
            @(negedge clk);
            sample_valid = 0;
            n_samples = n_samples + 1;
            if (n_samples == reset_after) begin
                repeat (100) @(negedge clk);
                rst = 1;
                @(negedge clk);
                rst = 0;
                $display("r");
            end
        end
        while (!sample_ready || out_valid) @(negedge clk);
        repeat (100000) @(negedge clk);
        $finish;
    end
endmodule
