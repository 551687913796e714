// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// The core for spikes of the cochlea: pooling, and the network. The ports are those of pool.v and of
// spiking_network.v. README.md defines what is computed. HARDWARE.md has the block diagram, the timing
// diagrams, the table of parameters and ports, and the memory maps. network.vh has the sizes, the
// .mem files have the weights.
//
//  in_*   a spike, in_ms (from the utterance's start, ascending) and in_unit (0..699); or, with
//         in_end high, the end of the utterance, without a spike. Spikes after the window are
//         dropped. A step is computed once something later is taken (in silence: a spike of a unit
//         that is dropped), at in_end all that are left.
`default_nettype none
module core #(
`include "network.vh"
) (
    input wire clk,
    input wire rst,
    // spikes
    input wire in_valid,
    output wire in_ready,
    input wire in_end,
    input wire [15:0] in_ms,
    input wire [9:0] in_unit,
    // scores
    output wire out_valid,
    input wire out_ready,
    output wire out_last,
    output wire [15:0] out_class,
    output wire signed [31:0] out_score,
    output wire [15:0] out_answer,
    // memories
    input wire load_valid,
    input wire read_valid,
    input wire [2:0] load_memory,
    input wire [23:0] load_address,
    input wire [LANES*LOAD_BITS-1:0] load_data,
    output wire [LANES*LOAD_BITS-1:0] read_data,
    output wire load_refused,
    // for debugging
    output wire mon_valid,
    output wire [15:0] mon_neuron,
    output wire [LANES-1:0] mon_spike,
    output wire [LANES*MEM_BITS-1:0] mon_mem
);
    wire event_valid;
    wire [$clog2(N_UNITS+1)-1:0] event_unit;
    wire step_end;
    wire step_ready;
    wire utterance_end;
    pool #(
        .FIRST_UNIT(FIRST_UNIT), .BIN_MS(BIN_MS), .POOL_UNITS(POOL_UNITS), .POOL_STEPS(POOL_STEPS),
        .POOL_THRESHOLD(POOL_THRESHOLD), .N_UNITS(N_UNITS), .N_STEPS(N_STEPS)
    ) the_pool (
        .clk(clk), .rst(rst), .in_valid(in_valid), .in_ready(in_ready), .in_end(in_end),
        .in_ms(in_ms), .in_unit(in_unit), .event_valid(event_valid), .event_unit(event_unit),
        .step_end(step_end), .step_ready(step_ready), .utterance_end(utterance_end)
    );
    spiking_network #(
        .LANES(LANES), .WRITABLE(WRITABLE), .INITIAL(INITIAL), .MEM_LANES(MEM_LANES),
        .MEM_PATH(MEM_PATH), .RAM_STYLE(RAM_STYLE)
    ) the_network (
        .clk(clk), .rst(rst),
        // ready in every other cycle while step_ready is high, as the pool sends
        .event_valid(event_valid), .event_ready(), .event_unit(event_unit),
        .step_end(step_end), .step_ready(step_ready), .utterance_end(utterance_end), .abort(1'b0),
        .out_valid(out_valid), .out_ready(out_ready), .out_last(out_last), .out_class(out_class),
        .out_score(out_score), .out_answer(out_answer),
        .load_valid(load_valid), .read_valid(read_valid), .load_memory(load_memory),
        .load_address(load_address), .load_data(load_data), .read_data(read_data),
        .load_refused(load_refused),
        .mon_valid(mon_valid), .mon_neuron(mon_neuron), .mon_spike(mon_spike), .mon_mem(mon_mem)
    );
endmodule
`default_nettype wire
