// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// Pooling: from the spikes of an utterance to the events of its steps.
//
// A block has a bit for each of its cells, and is an event when POOL_THRESHOLD of them are set. Spikes
// after the window are dropped.
//
// Timing. in_ready is a register: it is high when the input register is empty. A spike takes two cycles,
//  and has an event, if any, three cycles after it was accepted. A bin that ends takes a cycle, and a
//  step that ends another one, in which step_end is high. Then the blocks are cleared, one in a cycle.
//  step_end and utterance_end stay until step_ready is high; an event comes with them at the latest,
//  and is expected to be accepted wherever step_ready is high.
`default_nettype none
module pool #(
    parameter FIRST_UNIT = 0,
    parameter BIN_MS = 1,
    parameter POOL_UNITS = 1,
    parameter POOL_STEPS = 1,
    parameter POOL_THRESHOLD = 1,
    parameter N_UNITS = 1, // blocks
    parameter N_STEPS = 1,
    // not to be set
    parameter UNIT_BITS = $clog2(N_UNITS + 1)
) (
    input wire clk,
    input wire rst,
    input wire in_valid,
    output wire in_ready,
    input wire in_end,
    input wire [15:0] in_ms,
    input wire [9:0] in_unit,
    output reg event_valid,
    output reg [UNIT_BITS-1:0] event_unit,
    output reg step_end,
    input wire step_ready,
    output reg utterance_end
);
    localparam N_CELLS = POOL_UNITS * POOL_STEPS; // of a block
    localparam CELL_BITS = $clog2(N_CELLS + 1);
    localparam STEP_BITS = $clog2(N_STEPS + 1);
    // above / POOL_UNITS is (above * RECIPROCAL) >> QUOTIENT_SHIFT for every number of 10 bits
    localparam QUOTIENT_SHIFT = 10 + $clog2(POOL_UNITS);
    localparam RECIPROCAL = (1 << QUOTIENT_SHIFT) / POOL_UNITS + 1;
    // (no bit to spare: yosys 0.70 leaves a multiplier's spare one without a driver)
    localparam PRODUCT_BITS = $clog2(1023 * RECIPROCAL + 1);
    // constants are as wide as what they are compared with
    // verilator lint_off WIDTHTRUNC
    localparam [9:0] FIRST = FIRST_UNIT;
    localparam [10:0] N_USED = N_UNITS * POOL_UNITS;
    localparam [16:0] BIN = BIN_MS;
    localparam [CELL_BITS-1:0] BLOCK_UNITS = POOL_UNITS;
    localparam [CELL_BITS-1:0] LAST_BIN = N_CELLS - POOL_UNITS;
    localparam [CELL_BITS-1:0] ENOUGH = POOL_THRESHOLD;
    localparam [UNIT_BITS-1:0] ALL_BLOCKS = N_UNITS;
    localparam [STEP_BITS-1:0] LAST_STEP = N_STEPS - 1;
    localparam [PRODUCT_BITS-1:0] INVERSE = RECIPROCAL;
    // verilator lint_on WIDTHTRUNC

    // --- the input register, and time ------------------------------------------------------------
    // What the register holds is looked at in each cycle. It closes bins until its own bin is the
    // current one. Then it is taken out of the register.
    reg held;
    reg held_end;
    reg [15:0] held_ms;
    reg [9:0] held_unit;
    reg [STEP_BITS-1:0] step;
    reg is_over; // step is N_STEPS
    reg [16:0] bin_end; // the millisecond at which the current bin ends
    reg [CELL_BITS-1:0] first_cell; // of the current bin, in each block
    reg [UNIT_BITS-1:0] clear_block; // the next block whose cells are cleared
    wire is_clear = clear_block == ALL_BLOCKS;
    wire looks = held && is_clear && step_ready && !step_end && !utterance_end;
    wire is_later = !is_over && {1'b0, held_ms} >= bin_end;
    wire closes_bin = looks && !held_end && is_later;
    wire closes_step = closes_bin && first_cell == LAST_BIN;
    wire takes = looks && !closes_bin;
    assign in_ready = !held;
    always @(posedge clk) begin
        if (in_valid && in_ready) begin
            held <= 1;
            held_end <= in_end;
            held_ms <= in_ms;
            held_unit <= in_unit;
        end else if (takes) held <= 0;
        step_end <= closes_step || step_end && !step_ready;
        utterance_end <= takes && held_end || utterance_end && !step_ready;
        if (closes_bin) begin
            bin_end <= bin_end + BIN;
            first_cell <= closes_step ? 0 : first_cell + BLOCK_UNITS;
        end
        if (closes_step) begin
            step <= step + 1'b1;
            is_over <= step == LAST_STEP;
        end
        if (!is_clear) clear_block <= clear_block + 1'b1;
        if ((step_end || utterance_end) && step_ready) clear_block <= 0;
        if (rst || takes && held_end) begin
            step <= 0;
            is_over <= 0;
            bin_end <= BIN;
            first_cell <= 0;
        end
        if (rst) begin
            held <= 0;
            step_end <= 0;
            utterance_end <= 0;
            clear_block <= 0;
        end
    end

    // --- a spike: divide; look up the block; set the cell ------------------------------------------
    reg is_divided;
    reg is_found;
    reg [9:0] above; // units from FIRST_UNIT to the spike's
    reg [PRODUCT_BITS-1:0] product;
    reg [UNIT_BITS-1:0] block;
    reg [N_CELLS-1:0] cells [0:N_UNITS-1];
    reg [N_CELLS-1:0] old_cells;
    reg [N_CELLS-1:0] new_cell;
    reg [CELL_BITS-1:0] n_cells;
    wire [9:0] above_now = held_unit - FIRST; // units below wrap, to beyond all blocks
    wire is_used = {1'b0, above_now} < N_USED;
    wire [PRODUCT_BITS-1:0] wide_above = {{(PRODUCT_BITS-10){1'b0}}, above_now};
    wire [PRODUCT_BITS+UNIT_BITS-1:0] wide_product = {{UNIT_BITS{1'b0}}, product};
    wire [UNIT_BITS-1:0] quotient = wide_product[QUOTIENT_SHIFT +: UNIT_BITS];
    wire [CELL_BITS+10:0] of_quotient = {{(CELL_BITS+11-UNIT_BITS){1'b0}}, quotient};
    wire [CELL_BITS+10:0] first_above = of_quotient * POOL_UNITS[CELL_BITS+10:0];
    wire [CELL_BITS+10:0] wide_cell =
        {{11{1'b0}}, first_cell} + {{(CELL_BITS+1){1'b0}}, above} - first_above;
    wire [N_CELLS-1:0] new_cells = old_cells | new_cell;
    always @* begin : count_cells
        integer i;
        n_cells = 0;
        for (i = 0; i < N_CELLS; i = i + 1) n_cells = n_cells + {{(CELL_BITS-1){1'b0}}, new_cells[i]};
    end
    always @(posedge clk) begin
        is_divided <= takes && !held_end && !is_over && is_used && !rst;
        above <= above_now;
        product <= wide_above * INVERSE;
        is_found <= is_divided && !rst;
        block <= quotient;
        new_cell <= {{(N_CELLS-1){1'b0}}, 1'b1} << wide_cell[CELL_BITS-1:0];
        if (is_divided) old_cells <= cells[quotient];
        if (is_found || !is_clear) cells[is_found ? block : clear_block] <= is_found ? new_cells : 0;
        event_valid <= is_found && new_cells != old_cells && n_cells == ENOUGH && !rst;
        event_unit <= block;
    end
endmodule
`default_nettype wire
