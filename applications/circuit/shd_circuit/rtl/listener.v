// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// The listener: a microphone, the network, and its answers on a serial port and on LEDs.
//
//   mic_* -> sound_to_events -> spiking_network -+-> answers -> tx, led_digit
//            steps of utterances    scores       +-> confidence -> led_sure
//
// Ports. mic_*, as `i2s_receiver` has them; tx, as `answers` has it. led_digit is the digit of the last
//  answer, in the second language less 10, and 15 if the sound was none (class OTHER). led_sure is high
//  if this answer is accepted. led_active_n is low in an utterance. led_late_n is low from the first
//  utterance on that was dropped because the network was too slow. rst_n is a button; without it, the
//  circuit starts with a reset.
`default_nettype none
module listener #(
`include "network.vh"
    ,
`include "confidence.vh"
    ,
    parameter CYCLES_PER_BIT = 12, // of the microphone
    parameter WAIT = 8192, // samples, until it has started up
    parameter CYCLES_PER_SERIAL_BIT = 104
) (
    input wire clk, // 12 MHz, or what `sound_to_events` says
    input wire rst_n,
    output wire mic_sck,
    output wire mic_ws,
    input wire mic_sd,
    output wire tx,
    output wire [3:0] led_digit,
    output wire led_sure,
    output wire led_active_n,
    output reg led_late_n
);
    reg [2:0] up = 0;
    reg [1:0] button;
    wire rst = !up[2];
    always @(posedge clk) begin
        button <= {button[0], rst_n};
        if (!button[1]) up <= 0;
        else if (rst) up <= up + 1'b1;
    end

    wire event_valid;
    wire event_ready;
    wire [6:0] event_channel;
    wire step_end;
    wire utterance_end;
    wire step_ready;
    wire forgets;
    wire active;
    wire overrun;
    wire [3:0] unused; // only a bench looks at them
    sound_to_events #(
        .CYCLES_PER_BIT(CYCLES_PER_BIT),
        .WAIT(WAIT)
    ) sound_to_events (
        .clk(clk),
        .rst(rst),
        .mic_sck(mic_sck),
        .mic_ws(mic_ws),
        .mic_sd(mic_sd),
        .out_valid(event_valid),
        .out_ready(event_ready),
        .out_channel(event_channel),
        .out_step_end(step_end),
        .out_utterance_end(utterance_end),
        .out_step_ready(step_ready),
        .out_abort(forgets),
        .active(active),
        .overrun(overrun),
        .step_end(unused[0]),
        .status(unused[3:1])
    );
    assign led_active_n = !active;
    always @(posedge clk) led_late_n <= rst || (led_late_n && !overrun);

    wire score_valid;
    wire score_ready;
    wire score_last;
    wire [31:0] score;
    wire [15:0] wide_class;
    wire [15:0] wide_answer;
    spiking_network spiking_network (
        .clk(clk),
        .rst(rst),
        .event_valid(event_valid),
        .event_ready(event_ready),
        .event_unit(event_channel[$clog2(N_UNITS+1)-1:0]),
        .step_end(step_end),
        .step_ready(step_ready),
        .utterance_end(utterance_end),
        .abort(forgets),
        .out_valid(score_valid),
        .out_ready(score_ready),
        .out_last(score_last),
        .out_class(wide_class),
        .out_score(score),
        .out_answer(wide_answer),
        .load_valid(1'b0),
        .read_valid(1'b0),
        .load_memory(3'd0),
        .load_address(24'd0),
        .load_data({LANES * LOAD_BITS{1'b0}}),
        .read_data(),
        .load_refused(),
        .mon_valid(),
        .mon_neuron(),
        .mon_spike(),
        .mon_mem()
    );

    wire deciding;
    confidence #(
        .N_CLASSES(N_CLASSES),
        .FACTOR(FACTOR),
        .LIMIT(LIMIT),
        .OTHER(OTHER),
        .COARSE(COARSE),
        .FINE(FINE)
    ) confidence (
        .clk(clk),
        .rst(rst),
        .in_valid(score_valid && score_ready),
        .in_last(score_last),
        .in_class(wide_class[7:0]),
        .in_score(score),
        .in_answer(wide_answer[7:0]),
        .busy(deciding),
        .accepted(led_sure)
    );

    wire [7:0] heard;
    answers #(
        .CYCLES_PER_BIT(CYCLES_PER_SERIAL_BIT)
    ) answers (
        .clk(clk),
        .rst(rst),
        .in_valid(score_valid),
        .in_ready(score_ready),
        .in_last(score_last),
        .in_score(score),
        .in_answer(wide_answer[7:0]),
        .deciding(deciding),
        .accepted(led_sure),
        .tx(tx),
        .answer(heard)
    );
    assign led_digit = heard == OTHER[7:0] ? 4'd15 : heard[3:0] - (heard < 10 ? 4'd0 : 4'd10);
endmodule
