// SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
// SPDX-License-Identifier: MIT
//
// A board: the core with a clock of milliseconds, a FIFO, and a serial port (UART, 8N1) by which a
// computer loads weights, sends spikes and reads answers; board.py is the other end. Spikes may also
// come from a sensor, as address events on wires of their own (aer_*).
//
// To the board: a letter, then numbers, low byte first.
//   S                     an utterance begins; its clock starts at 0 ms and closes each millisecond
//   e unit:2              a spike now
//   t ms:2 unit:2         a spike of this millisecond, which no clock need tell
//   E                     the utterance ends
//   L memory:1 address:3 data   write to one of the core's memories, as core.v numbers them; the
//                         data's length is that of the widest: LANES * LOAD_BITS, in whole bytes
//   C memory:1 n:3        read n memory words from address 0 on; the answer is c, crc:4, the CRC-32
//                         (zlib's) of these memory words as messages L have them. Between two
//                         utterances only
//   ?                     the flags, which are cleared; the answer is s, flags:1
//   I                     the sizes; the answer is i, LANES:1 bytes of a memory word:1 inputs:2
//                         hidden:2 classes:1
//   N                     which networks can be loaded; the answer is n, FIXED_CRC:4 SUM_BITS:1
//   X                     forget the utterance and the flags; the memories stay
// From the board, after E:  M, then for each class its score:4, then the class:1 and the flags:1.
// Other answers come before M or after all of it. Flags stay until they are asked for: 1 late (a
// spike came after one of a later millisecond, and counts in the current one; or an address event
// waited because the FIFO was full, so that it and those after it may count in a later one),
// 2 overrun (the FIFO was full and a spike is lost), 4 refused (an L was to write where no memory is,
// or the memories can't be written).
//
// A message that isn't completed is dropped after 250 ms without a byte, and at a byte without a stop
// bit. So after noise: wait 300 ms, send X, and compare the memories' CRC with C.
//
// Address events: the sender sets aer_unit, then pulls aer_req_n low; the board pulls aer_ack_n low
// when it has the spike; then the sender lets go, and so does the board. The spike counts in the
// current millisecond; between E and S it is taken and dropped. While the FIFO is full it waits, which
// sets the flag late.
`default_nettype none
module shd_top #(
`include "network.vh"
    ,
    parameter CLOCK_HZ = 12000000,
    parameter BAUD = 1000000, // of which CLOCK_HZ is a multiple, within 2.5 %
    parameter FIFO_BITS = 9, // the FIFO holds 2^FIFO_BITS spikes
    parameter SILENCE_MS = 250 // within a message, that ends it; at most 255
) (
    input wire clk,
    input wire rst_n,
    input wire rx,
    output wire tx,
    input wire aer_req_n,
    input wire [9:0] aer_unit,
    output wire aer_ack_n,
    output wire late_led,
    output wire overrun_led
);
    localparam DIVIDER = (CLOCK_HZ + BAUD / 2) / BAUD; // clock cycles of a bit
    localparam BAUD_ERROR = DIVIDER * BAUD > CLOCK_HZ ? DIVIDER * BAUD - CLOCK_HZ
        : CLOCK_HZ - DIVIDER * BAUD;
    generate
        if (DIVIDER < 4 || BAUD_ERROR > CLOCK_HZ / 40) begin : refuse_baud
            BAUD_must_divide_CLOCK_HZ_within_2_5_percent_and_be_a_quarter_at_most stop();
        end
        if (SILENCE_MS < 1 || SILENCE_MS > 255) begin : refuse_silence
            SILENCE_MS_must_be_1_to_255 stop();
        end
    endgenerate

    // --- reset: at power-up, and by its pin ------------------------------------------------------
    reg [2:0] up = 0;
    reg [1:0] reset_line = 2'b11;
    wire rst = !up[2];
    always @(posedge clk) begin
        reset_line <= {reset_line[0], rst_n};
        if (!reset_line[1]) up <= 0;
        else if (rst) up <= up + 1'b1;
    end

    // --- the serial port: a start bit, eight bits, the lowest first, and a stop bit --------------
    localparam DIVIDER_BITS = $clog2(DIVIDER + 1);
    // verilator lint_off WIDTHTRUNC
    localparam [DIVIDER_BITS-1:0] BIT_WAIT = DIVIDER - 1;
    localparam [DIVIDER_BITS-1:0] HALF_WAIT = DIVIDER / 2 - 1;
    // verilator lint_on WIDTHTRUNC
    reg [2:0] line; // rx comes from another clock
    reg [DIVIDER_BITS-1:0] rx_wait;
    reg [DIVIDER_BITS-1:0] tx_wait;
    reg [3:0] rx_left; // bits to come
    reg [3:0] tx_left;
    reg [7:0] rx_byte;
    reg [7:0] tx_byte;
    reg [9:0] tx_bits = 10'h3ff; // quiet from power-up on
    reg rx_valid;
    reg rx_broken; // a byte without a stop bit
    reg tx_valid;
    wire tx_ready = tx_left == 0;
    assign tx = tx_bits[0];
    always @(posedge clk) begin
        line <= {line[1:0], rx};
        rx_valid <= 0;
        rx_broken <= 0;
        if (rx_left == 0) begin
            if (!line[2]) begin
                rx_left <= 10;
                rx_wait <= HALF_WAIT;
            end
        end else if (rx_wait != 0) rx_wait <= rx_wait - 1'b1;
        else begin // in the middle of a bit
            rx_wait <= BIT_WAIT;
            rx_left <= rx_left == 10 && line[2] ? 4'd0 : rx_left - 1'b1; // a glitch is no start
            if (rx_left == 1) begin
                rx_valid <= line[2];
                rx_broken <= !line[2];
            end else rx_byte <= {line[2], rx_byte[7:1]};
        end
        if (tx_ready) begin
            if (tx_valid) begin
                tx_bits <= {1'b1, tx_byte, 1'b0};
                tx_left <= 10;
                tx_wait <= BIT_WAIT;
            end
        end else if (tx_wait != 0) tx_wait <= tx_wait - 1'b1;
        else begin
            tx_bits <= {1'b1, tx_bits[9:1]};
            tx_left <= tx_left - 1'b1;
            tx_wait <= BIT_WAIT;
        end
        if (rst) begin
            line <= 3'b111;
            rx_left <= 0;
            rx_valid <= 0;
            rx_broken <= 0;
            tx_bits <= 10'h3ff;
            tx_left <= 0;
        end
    end

    // --- messages: the bytes after a letter are shifted in from above ----------------------------
    localparam WORD_BYTES = (LANES * LOAD_BITS + 7) / 8; // of a memory word
    localparam PAYLOAD_BITS = 8 * (4 + WORD_BYTES);
    reg [7:0] letter;
    reg [7:0] left; // bytes of the message to come
    reg [7:0] length; // bytes after a letter
    reg [7:0] silence; // milliseconds
    reg [PAYLOAD_BITS-1:0] payload;
    reg is_message; // the whole of one is there
    localparam MS_CYCLES = CLOCK_HZ / 1000;
    localparam MS_BITS = $clog2(MS_CYCLES + 1);
    // verilator lint_off WIDTHTRUNC
    localparam [MS_BITS-1:0] MS_WAIT = MS_CYCLES - 1;
    // verilator lint_on WIDTHTRUNC
    reg [MS_BITS-1:0] ms_wait;
    always @* case (rx_byte)
        "e": length = 2;
        "t": length = 4;
        "C": length = 4;
        "L": length = 4 + WORD_BYTES;
        default: length = 0;
    endcase
    always @(posedge clk) begin
        is_message <= rx_valid && (left == 0 ? length == 0 : left == 1);
        if (rx_valid && left == 0) begin
            letter <= rx_byte;
            left <= length;
        end
        if (rx_valid && left != 0) begin
            payload <= {rx_byte, payload[PAYLOAD_BITS-1:8]};
            left <= left - 1'b1;
        end
        if (rx_valid || left == 0) silence <= 0;
        else if (ms_wait == 0) silence <= silence + 1'b1;
        if (silence == SILENCE_MS || rx_broken) left <= 0;
        if (rst) begin
            left <= 0;
            is_message <= 0;
            silence <= 0;
        end
    end
    wire starts = is_message && letter == "S";
    wire ends = is_message && letter == "E";
    wire is_timed = letter == "t";
    wire is_spike = is_message && (letter == "e" || is_timed);
    wire loads = is_message && letter == "L";
    wire restarts = is_message && letter == "X";
    wire forgets = rst || restarts;

    // --- the clock of milliseconds ---------------------------------------------------------------
    // Each is closed by a tick, a spike that the core drops: so a step is computed as soon as it is
    // over. A tick waits while the FIFO is full.
    reg runs; // between S and E
    reg [15:0] now;
    reg tick_waits;
    reg end_waits;
    wire is_ms = runs && ms_wait == 0;
    wire is_full;
    wire aer_waits;
    wire pushes_spike = is_spike && !is_full;
    wire pushes_end = end_waits && !is_spike && !is_full;
    wire pushes_tick = tick_waits && !end_waits && !is_spike && !is_full;
    wire pushes_aer = aer_waits && runs && !tick_waits && !end_waits && !is_spike && !is_full;
    wire delays_aer = aer_waits && runs && is_full; // a millisecond may end before it is taken
    wire [15:0] ms = is_spike && is_timed ? payload[PAYLOAD_BITS-32 +: 16] : now;
    wire [9:0] unit = is_spike ? payload[PAYLOAD_BITS-16 +: 10] : pushes_aer ? aer_unit : 10'h3ff;
    always @(posedge clk) begin
        ms_wait <= starts || ms_wait == 0 ? MS_WAIT : ms_wait - 1'b1;
        if (is_ms) now <= now + 1'b1;
        if (starts) begin
            now <= 0;
            runs <= 1;
        end
        if (ends || is_ms && &now[15:1]) runs <= 0;
        tick_waits <= (tick_waits && !pushes_tick || is_ms) && !ends;
        end_waits <= end_waits && !pushes_end || ends;
        if (forgets) begin
            runs <= 0;
            now <= 0;
            tick_waits <= 0;
            end_waits <= 0;
        end
        if (rst) ms_wait <= 0;
    end

    // --- address events of a sensor, whose clock is another one ----------------------------------
    reg [1:0] aer_line;
    reg aer_taken;
    assign aer_waits = aer_line[1] && !aer_taken;
    assign aer_ack_n = !aer_taken;
    always @(posedge clk) begin
        aer_line <= {aer_line[0], !aer_req_n};
        if (pushes_aer || aer_waits && !runs) aer_taken <= 1;
        else if (!aer_line[1]) aer_taken <= 0;
        if (rst) begin
            aer_line <= 0;
            aer_taken <= 0;
        end
    end

    // --- the FIFO, and what was lost: in_end, millisecond, unit ----------------------------------
    // All milliseconds from the window's end on are one to the core, so that fewer bits, and a block
    // RAM less, hold them.
    localparam WINDOW_MS = N_STEPS * POOL_STEPS * BIN_MS;
    localparam FIFO_MS_BITS = $clog2(WINDOW_MS + 1);
    // verilator lint_off WIDTHTRUNC
    localparam [FIFO_MS_BITS-1:0] AFTER_WINDOW = WINDOW_MS;
    // verilator lint_on WIDTHTRUNC
    wire [FIFO_MS_BITS-1:0] ms_in_window = ms < WINDOW_MS ? ms[FIFO_MS_BITS-1:0] : AFTER_WINDOW;
    reg [FIFO_MS_BITS+10:0] fifo [0:(1<<FIFO_BITS)-1];
    reg [FIFO_MS_BITS+10:0] front;
    reg [FIFO_BITS:0] head; // one bit more than an address: full isn't empty
    reg [FIFO_BITS:0] tail;
    reg front_valid;
    reg is_late;
    reg is_overrun;
    reg is_refused;
    wire load_refused;
    wire [7:0] flags = {5'd0, is_refused, is_overrun, is_late};
    reg [15:0] last_ms;
    wire [FIFO_BITS:0] n_waiting = tail - head;
    wire in_ready;
    wire pops = n_waiting != 0 && (!front_valid || in_ready);
    wire sends_flags;
    assign is_full = n_waiting[FIFO_BITS];
    assign late_led = is_late;
    assign overrun_led = is_overrun;
    always @(posedge clk) begin
        if (pushes_spike || pushes_tick || pushes_end || pushes_aer) begin
            fifo[tail[FIFO_BITS-1:0]] <= {pushes_end, ms_in_window, unit};
            tail <= tail + 1'b1;
            if (pushes_end) last_ms <= 0;
            else if (ms > last_ms) last_ms <= ms;
        end
        if (pops) begin
            front <= fifo[head[FIFO_BITS-1:0]];
            head <= head + 1'b1;
        end
        if (pops || in_ready) front_valid <= pops;
        if (forgets || sends_flags) begin
            is_late <= 0;
            is_overrun <= 0;
            is_refused <= 0;
        end
        if (pushes_spike && ms < last_ms || delays_aer) is_late <= 1;
        if (is_spike && is_full) is_overrun <= 1;
        if (load_refused) is_refused <= 1;
        if (forgets) begin
            head <= 0;
            tail <= 0;
            front_valid <= 0;
            last_ms <= 0;
        end
    end

    // --- the core --------------------------------------------------------------------------------
    wire [15:0] front_ms = {{(16-FIFO_MS_BITS){1'b0}}, front[10 +: FIFO_MS_BITS]};
    wire out_valid;
    wire out_last;
    wire [31:0] out_score;
    wire [15:0] out_answer;
    reg out_ready;
    reg is_checking; // a memory's CRC is computed
    reg reads_word;
    reg [2:0] checked_memory;
    reg [23:0] check_address;
    wire [LANES*LOAD_BITS-1:0] read_data;
    core #(
        .LANES(LANES), .WRITABLE(WRITABLE), .INITIAL(INITIAL), .MEM_LANES(MEM_LANES),
        .MEM_PATH(MEM_PATH), .RAM_STYLE(RAM_STYLE)
    ) the_core (
        .clk(clk),
        .rst(forgets),
        .in_valid(front_valid),
        .in_ready(in_ready),
        .in_end(front[FIFO_MS_BITS+10]),
        .in_ms(front_ms),
        .in_unit(front[9:0]),
        .out_valid(out_valid),
        .out_ready(out_ready),
        .out_last(out_last),
        .out_score(out_score),
        .out_answer(out_answer),
        .out_class(),
        .load_valid(loads),
        .read_valid(reads_word),
        .load_memory(is_checking ? checked_memory : payload[2:0]),
        .load_address(is_checking ? check_address : payload[31:8]),
        .load_data(payload[32 +: LANES*LOAD_BITS]),
        .read_data(read_data),
        .load_refused(load_refused),
        .mon_valid(),
        .mon_neuron(),
        .mon_spike(),
        .mon_mem()
    );

    // --- the CRC of a memory, a bit each cycle ---------------------------------------------------
    localparam [31:0] CRC_32 = 32'hedb88320; // the polynomial, lowest bit first
    localparam CHECK_BITS = $clog2(8 * WORD_BYTES + 1);
    reg [23:0] check_left; // memory words
    reg [CHECK_BITS-1:0] check_bit; // of the memory word; those beyond its end are 0
    reg [31:0] crc;
    reg has_crc;
    localparam DATA_BITS = $clog2(LANES * LOAD_BITS);
    wire is_in_word = check_bit < LANES * LOAD_BITS;
    wire data_bit = is_in_word && read_data[check_bit[DATA_BITS-1:0]];
    wire is_last_bit = check_bit == 8 * WORD_BYTES - 1;
    wire sends_crc;
    always @(posedge clk) begin
        reads_word <= 0;
        if (is_message && letter == "C") begin
            is_checking <= 1;
            has_crc <= 0;
            reads_word <= 1;
            checked_memory <= payload[PAYLOAD_BITS-32 +: 3];
            check_left <= payload[PAYLOAD_BITS-24 +: 24];
            check_address <= 0;
            check_bit <= 0;
            crc <= 32'hffffffff;
        end else if (is_checking && check_left == 0) begin
            is_checking <= 0;
            has_crc <= 1;
        end else if (is_checking && !reads_word) begin
            crc <= crc >> 1 ^ (crc[0] ^ data_bit ? CRC_32 : 0);
            check_bit <= check_bit + 1'b1;
            if (is_last_bit) begin
                check_bit <= 0;
                check_left <= check_left - 1'b1;
                check_address <= check_address + 1'b1;
                reads_word <= 1;
            end
        end
        if (sends_crc) has_crc <= 0;
        if (forgets) begin
            is_checking <= 0;
            has_crc <= 0;
            reads_word <= 0;
        end
    end

    // --- replies: bytes that wait to be sent; where none do, the core's next score is taken ------
    localparam N_INPUTS = N_DELAYS * N_UNITS;
    reg [63:0] reply; // the lowest byte first
    reg [3:0] reply_left;
    reg in_answer; // its letter is sent
    reg wants_sizes; // I was asked
    reg wants_network; // N was asked
    reg wants_flags; // ? was asked
    wire is_free = reply_left == 0 && !tx_valid && !out_ready;
    wire may_reply = is_free && !in_answer; // an answer isn't interrupted
    wire sends_sizes = may_reply && wants_sizes;
    wire sends_network = may_reply && wants_network && !wants_sizes;
    assign sends_flags = may_reply && wants_flags && !wants_network && !wants_sizes;
    assign sends_crc = may_reply && has_crc && !wants_flags && !wants_network && !wants_sizes;
    always @(posedge clk) begin
        out_ready <= 0;
        if (tx_ready) tx_valid <= 0;
        if (reply_left != 0 && !tx_valid) begin
            tx_byte <= reply[7:0];
            tx_valid <= 1;
            reply <= reply >> 8;
            reply_left <= reply_left - 1'b1;
        end
        if (sends_sizes) begin
            reply <= {N_CLASSES[7:0], N_HIDDEN[15:0], N_INPUTS[15:0], WORD_BYTES[7:0], LANES[7:0], "i"};
            reply_left <= 8;
        end else if (sends_network) begin
            reply <= {16'd0, SUM_BITS[7:0], FIXED_CRC[31:0], "n"};
            reply_left <= 6;
        end else if (sends_flags) begin
            reply <= {48'd0, flags, "s"};
            reply_left <= 2;
        end else if (sends_crc) begin
            reply <= {24'd0, ~crc, "c"};
            reply_left <= 5;
        end else if (is_free && out_valid) begin
            reply <= {56'd0, "M"};
            reply_left <= 1;
            in_answer <= 1;
            if (in_answer) begin
                reply <= {16'd0, flags, out_answer[7:0], out_score};
                reply_left <= out_last ? 4'd6 : 4'd4;
                in_answer <= !out_last;
                out_ready <= 1;
            end
        end
        wants_sizes <= is_message && letter == "I" || wants_sizes && !sends_sizes;
        wants_network <= is_message && letter == "N" || wants_network && !sends_network;
        wants_flags <= is_message && letter == "?" || wants_flags && !sends_flags;
        if (forgets) begin
            tx_valid <= 0;
            reply_left <= 0;
            in_answer <= 0;
            out_ready <= 0;
            wants_sizes <= 0;
            wants_network <= 0;
            wants_flags <= 0;
        end
    end
endmodule
`default_nettype wire
