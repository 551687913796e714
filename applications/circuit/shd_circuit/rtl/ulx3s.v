// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// The listener on a ULX3S (ECP5), whose clock has 25 MHz and whose LEDs are lit by a high level.
//
// Ports. led[3:0] is the digit, led[4] says that the answer is accepted, led[6] is lit in an utterance,
//  and led[7] after one for which the network was too slow. wifi_gpio0 keeps the ESP32 from loading
//  another bitstream. The others are those of `listener`.
`default_nettype none
module ulx3s (
    input wire clk_25mhz,
    input wire rst_n,
    output wire mic_sck,
    output wire mic_ws,
    input wire mic_sd,
    output wire tx,
    output wire [7:0] led,
    output wire wifi_gpio0
);
    wire active_n;
    wire late_n;
    assign led[7:5] = {!late_n, !active_n, 1'b0};
    assign wifi_gpio0 = 1;
    listener #(
        .CYCLES_PER_BIT(25), // 1 MHz
        .CYCLES_PER_SERIAL_BIT(217)
    ) listener (
        .clk(clk_25mhz),
        .rst_n(rst_n),
        .mic_sck(mic_sck),
        .mic_ws(mic_ws),
        .mic_sd(mic_sd),
        .tx(tx),
        .led_digit(led[3:0]),
        .led_sure(led[4]),
        .led_active_n(active_n),
        .led_late_n(late_n)
    );
endmodule
`default_nettype wire
