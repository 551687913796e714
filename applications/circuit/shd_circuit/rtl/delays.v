// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// Delays: keeps the events of the last steps, and lists the inputs of a window that are active now.
//
// Events are kept as a bitmap in a block RAM: a row for each step, of memory words of 8 blocks. A step
// that is as old as a delay arrives now. A scan reads, for each delay, the memory words that the
// window of KERNEL blocks from first_block on reaches into. Input number k KERNEL + j of a window is
// its block j, delay number k ago.
//
// Timing. An event is accepted every other cycle. scan_starts is high for a cycle; from two cycles
//  later on a memory word takes a cycle for each event in it, or one if it has none, and
//  input_valid is high in each cycle in which input_index is one of the window's. scan_ends is high
//  in the last of these cycles. After step_is_over, which is high for a cycle, the next row is cleared:
//  a cycle for each memory word, in which is_cleared is low. Don't scan or send events then.
`default_nettype none
module delays #(
    parameter N_UNITS = 1,
    parameter N_DELAYS = 1,
    parameter N_SLOTS = 1, // steps that are kept: the longest delay and one more
    parameter KERNEL = 1,
    parameter MEM_PATH = "./",
    // not to be set
    parameter UNIT_BITS = $clog2(N_UNITS + 1),
    parameter INPUT_BITS = $clog2(N_DELAYS * KERNEL + 1)
) (
    input wire clk,
    input wire enable, // without it, all stands still
    input wire rst, // forgets all steps, and clears this one's row
    input wire forgets, // forgets all steps before this one
    input wire step_is_over,
    output wire is_cleared,
    input wire event_valid,
    output wire event_ready,
    input wire [UNIT_BITS-1:0] event_unit,
    input wire scan_starts,
    input wire [UNIT_BITS-1:0] first_block,
    output wire scan_ends,
    output wire input_valid,
    output wire [INPUT_BITS-1:0] input_index
);
    localparam WORDS = (N_UNITS + 7) / 8; // of a row
    localparam ROWS = N_SLOTS * WORDS;
    localparam BLOCK_BITS = UNIT_BITS < 3 ? 4 : UNIT_BITS + 1;
    localparam WORD_BITS = BLOCK_BITS - 3;
    localparam ROW_BITS = $clog2(2 * ROWS);
    localparam ADDRESS_BITS = ROWS > 1 ? $clog2(ROWS) : 1;
    localparam INDEX_BITS = N_DELAYS > 1 ? $clog2(N_DELAYS) : 1;
    localparam DELAY_BITS = $clog2(N_DELAYS + 1);
    localparam AGE_BITS = $clog2(N_SLOTS + 1);
    // constants are as wide as what they are compared with
    // verilator lint_off WIDTHTRUNC
    localparam [ROW_BITS-1:0] N_ROWS = ROWS;
    localparam [ROW_BITS-1:0] ROW_WORDS = WORDS;
    localparam [WORD_BITS-1:0] LAST_WORD = WORDS - 1;
    localparam [DELAY_BITS-1:0] LAST_DELAY = N_DELAYS - 1;
    localparam [BLOCK_BITS-1:0] WINDOW = KERNEL;
    localparam [INPUT_BITS-1:0] WINDOW_INPUTS = KERNEL;
    localparam [AGE_BITS-1:0] OLDEST = N_SLOTS - 1;
    // verilator lint_on WIDTHTRUNC

    reg [7:0] history [0:ROWS-1];
    reg [7:0] word; // read from history
    reg [AGE_BITS-1:0] delay [0:N_DELAYS-1];
    initial $readmemh({MEM_PATH, "delay.mem"}, delay, 0, N_DELAYS - 1);

    // --- the row of this step, and how many steps there are before it ----------------------------
    reg [ROW_BITS-1:0] row;
    reg [AGE_BITS-1:0] n_before; // at most the longest delay
    reg [WORD_BITS-1:0] clear_word; // the next one to be cleared
    reg is_clearing;
    assign is_cleared = !is_clearing;
    wire [ROW_BITS-1:0] next_row = row + ROW_WORDS;
    always @(posedge clk) if (enable) begin
        clear_word <= is_clearing ? clear_word + 1'b1 : 0;
        if (clear_word == LAST_WORD) is_clearing <= 0;
        if (step_is_over) begin
            row <= next_row == N_ROWS ? 0 : next_row;
            n_before <= n_before == OLDEST ? OLDEST : n_before + 1'b1;
            is_clearing <= 1;
        end
        if (rst || forgets) n_before <= 0;
        if (rst) begin
            row <= 0;
            clear_word <= 0;
            is_clearing <= 1;
        end
    end

    // --- an event: its memory word is read, and written in the next cycle -------------------------
    wire [BLOCK_BITS-1:0] unit = {{(BLOCK_BITS-UNIT_BITS){1'b0}}, event_unit};
    reg is_writing;
    reg [ROW_BITS-1:0] event_row;
    reg [2:0] event_bit;
    wire takes_event = event_valid && event_ready;
    wire [ROW_BITS-1:0] unit_row = row + {{(ROW_BITS-WORD_BITS){1'b0}}, unit[BLOCK_BITS-1:3]};
    assign event_ready = is_cleared && !is_writing;
    always @(posedge clk) if (enable) begin
        is_writing <= takes_event && !rst;
        event_row <= unit_row;
        event_bit <= unit[2:0];
    end

    // --- a scan: the next memory word is read while the last event of the one before is listed ------
    reg is_scanning;
    reg is_fresh; // word was read in the cycle before
    reg is_young; // the utterance is younger than the delay of this memory word
    reg [7:0] left; // events of the memory word that are to be listed
    reg [WORD_BITS-1:0] scanned; // memory word of the row
    reg [WORD_BITS-1:0] next_scanned;
    reg [DELAY_BITS-1:0] delay_index; // of the next memory word
    reg [INPUT_BITS-1:0] first_input; // of this delay
    reg [INPUT_BITS-1:0] next_first_input;
    reg is_over; // all memory words were read
    wire [BLOCK_BITS-1:0] first = {{(BLOCK_BITS-UNIT_BITS){1'b0}}, first_block};
    wire [BLOCK_BITS-1:0] end_block = first + WINDOW - 1'b1;
    wire [AGE_BITS-1:0] age = delay[delay_index[INDEX_BITS-1:0]];
    wire [ROW_BITS-1:0] back = {{(ROW_BITS-AGE_BITS){1'b0}}, age} * ROW_WORDS;
    wire [ROW_BITS-1:0] past_row = row >= back ? row - back : row + N_ROWS - back;
    wire [ROW_BITS-1:0] scan_row = past_row + {{(ROW_BITS-WORD_BITS){1'b0}}, next_scanned};
    wire [7:0] events = !is_fresh ? left : is_young ? 8'd0 : word;
    wire [7:0] events_after = events & (events - 1'b1); // without the lowest
    wire is_done = is_scanning && events_after == 0; // with this memory word
    wire reads = is_done && !is_over;
    reg [2:0] lowest;
    always @* begin : find_lowest
        integer i;
        lowest = 0;
        for (i = 7; i >= 0; i = i - 1) if (events[i]) lowest = i[2:0];
    end
    wire [BLOCK_BITS-1:0] block_in_window = {scanned, lowest} - first;
    assign input_valid = is_scanning && events != 0 && block_in_window < WINDOW;
    wire [INPUT_BITS+BLOCK_BITS-1:0] wide_block = {{INPUT_BITS{1'b0}}, block_in_window};
    assign input_index = first_input + wide_block[INPUT_BITS-1:0];
    assign scan_ends = is_done && is_over;
    always @(posedge clk) if (enable) begin
        left <= events_after;
        is_fresh <= reads;
        if (reads) begin
            scanned <= next_scanned;
            is_young <= age > n_before;
            first_input <= next_first_input;
            next_scanned <= next_scanned + 1'b1;
            if (next_scanned == end_block[BLOCK_BITS-1:3]) begin
                next_scanned <= first[BLOCK_BITS-1:3];
                next_first_input <= next_first_input + WINDOW_INPUTS;
                delay_index <= delay_index + 1'b1;
                is_over <= delay_index == LAST_DELAY;
            end
        end
        if (scan_ends) is_scanning <= 0;
        if (scan_starts) begin
            is_scanning <= 1;
            is_over <= 0;
            is_fresh <= 0;
            left <= 0;
            delay_index <= 0;
            next_first_input <= 0;
            next_scanned <= first[BLOCK_BITS-1:3];
        end
        if (rst) is_scanning <= 0;
    end

    wire [ROW_BITS-1:0] clear_row = row + {{(ROW_BITS-WORD_BITS){1'b0}}, clear_word};
    wire [ROW_BITS-1:0] read_row = is_scanning ? scan_row : unit_row;
    wire [ROW_BITS-1:0] written_row = is_clearing ? clear_row : event_row;
    always @(posedge clk) if (enable) begin
        if (takes_event || reads) word <= history[read_row[ADDRESS_BITS-1:0]];
        if (is_writing || is_clearing)
            history[written_row[ADDRESS_BITS-1:0]] <=
                is_clearing ? 8'd0 : word | 8'd1 << event_bit;
    end
endmodule
`default_nettype wire
