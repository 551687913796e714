// A board: the core with a clock of milliseconds, a FIFO, and a serial port (UART, 8N1) by which a
// computer loads weights, sends spikes and reads answers; hardware/board.py is the other end.
//
// To the board: a letter, then numbers, low byte first.
//   S                     a word begins; its clock starts at 0 ms and closes each millisecond
//   e unit:2              a spike now
//   t ms:2 unit:2         a spike of this millisecond, which no clock need tell
//   E                     the word ends
//   L memory:1 address:3 word   load a word of the core's memories, as core.v numbers them; its
//                         length is that of the widest: LANES * LOAD_BITS, in whole bytes
//   ?                     the flags, which are cleared; the answer is s, flags:1
//   I                     the sizes; the answer is i, LANES:1 bytes of a word:1 inputs:2
//                         hidden:2 classes:1
// From the board, after E:  M, then for each class its score:4, then the class:1 and the flags:1.
// Flags stay until they are asked for: 1 late (a spike came after one of a later millisecond, and
// counts in the current one), 2 overrun (the FIFO was full and a spike is lost).
// Lint (verilator -Wall): as in core.v; of the core's ports, those to look on are left open.
/* verilator lint_off WIDTH */
/* verilator lint_off UNUSEDPARAM */
/* verilator lint_off UNUSEDSIGNAL */
/* verilator lint_off PINCONNECTEMPTY */
`default_nettype none
module shd_top #(
`include "network.vh"
    , parameter CLOCK_HZ = 12000000, parameter BAUD = 1000000, parameter FIFO_BITS = 9
) (
    input wire clk, rx,
    output wire tx, late_led, overrun_led
);
    reg [2:0] up = 0; // reset after power-up
    wire rst = !up[2];
    always @(posedge clk) if (rst) up <= up + 1'b1;

    // The serial port: a start bit, eight bits, the lowest first, and a stop bit.
    localparam DIVIDER = CLOCK_HZ / BAUD, DB = $clog2(DIVIDER + 1);
    reg [2:0] line; // rx comes from another clock
    reg [DB-1:0] rx_wait, tx_wait;
    reg [3:0] rx_left, tx_left; // bits to come
    reg [7:0] rx_byte, tx_byte;
    reg [9:0] tx_bits = 10'h3ff; // quiet from power-up on
    reg rx_valid, tx_valid;
    wire tx_ready = tx_left == 0;
    assign tx = tx_bits[0];
    always @(posedge clk) begin
        line <= {line[1:0], rx};
        rx_valid <= 0;
        if (rx_left == 0) begin
            if (!line[2]) begin rx_left <= 10; rx_wait <= DIVIDER / 2 - 1; end
        end else if (rx_wait != 0) rx_wait <= rx_wait - 1'b1;
        else begin // in the middle of a bit
            rx_wait <= DIVIDER - 1;
            rx_left <= rx_left == 10 && line[2] ? 4'd0 : rx_left - 1'b1; // a glitch is no start
            if (rx_left == 1) rx_valid <= line[2];
            else rx_byte <= {line[2], rx_byte[7:1]};
        end
        if (tx_ready) begin
            if (tx_valid) begin
                tx_bits <= {1'b1, tx_byte, 1'b0}; tx_left <= 10; tx_wait <= DIVIDER - 1;
            end
        end else if (tx_wait != 0) tx_wait <= tx_wait - 1'b1;
        else begin
            tx_bits <= {1'b1, tx_bits[9:1]}; tx_left <= tx_left - 1'b1; tx_wait <= DIVIDER - 1;
        end
        if (rst) begin
            line <= 3'b111; rx_left <= 0; rx_valid <= 0; tx_bits <= 10'h3ff; tx_left <= 0;
        end
    end

    // Messages: the bytes after a letter are shifted in from above.
    localparam WORD_BYTES = (LANES * LOAD_BITS + 7) / 8, PW = 8 * (4 + WORD_BYTES);
    reg [7:0] letter, left, length;
    reg [PW-1:0] payload;
    reg is_message; // the whole of one is there
    always @* case (rx_byte)
        "e": length = 2;
        "t": length = 4;
        "L": length = 4 + WORD_BYTES;
        default: length = 0;
    endcase
    always @(posedge clk) begin
        is_message <= rx_valid && (left == 0 ? length == 0 : left == 1);
        if (rx_valid && left == 0) begin letter <= rx_byte; left <= length; end
        if (rx_valid && left != 0) begin
            payload <= {rx_byte, payload[PW-1:8]}; left <= left - 1'b1;
        end
        if (rst) begin left <= 0; is_message <= 0; end
    end
    wire starts = is_message && letter == "S", ends = is_message && letter == "E";
    wire is_timed = letter == "t", is_spike = is_message && (letter == "e" || is_timed);
    wire asks = is_message && letter == "?", identifies = is_message && letter == "I";

    // The clock of milliseconds. Each is closed by a tick, a spike that the core drops: so a step is
    // computed as soon as it is over. A tick waits while the FIFO is full.
    localparam MS_CYCLES = CLOCK_HZ / 1000, MB = $clog2(MS_CYCLES + 1);
    reg [MB-1:0] ms_wait;
    reg [15:0] now;
    reg runs, tick_waits, end_waits;
    wire is_ms = runs && ms_wait == 0;
    wire is_full;
    wire pushes_spike = is_spike && !is_full;
    wire pushes_end = end_waits && !is_spike && !is_full;
    wire pushes_tick = tick_waits && !end_waits && !is_spike && !is_full;
    wire [15:0] ms = is_spike && is_timed ? payload[PW-32 +: 16] : now;
    wire [9:0] unit = is_spike ? payload[PW-16 +: 10] : 10'h3ff;
    always @(posedge clk) begin
        ms_wait <= starts || is_ms ? MS_CYCLES - 1 : ms_wait - 1'b1;
        if (is_ms) now <= now + 1'b1;
        if (starts) begin now <= 0; runs <= 1; end
        if (ends || is_ms && &now[15:1]) runs <= 0;
        tick_waits <= (tick_waits && !pushes_tick || is_ms) && !ends;
        end_waits <= end_waits && !pushes_end || ends;
        if (rst) begin runs <= 0; now <= 0; tick_waits <= 0; end_waits <= 0; end
    end

    // The FIFO, and what was lost: in_end, millisecond, unit. All milliseconds from the window's end on
    // are one to the core, so that fewer bits, and a block RAM less, hold them.
    localparam WINDOW = N_STEPS * POOL_STEPS * BIN_MS, FB = $clog2(WINDOW + 1);
    wire [FB-1:0] ms_in_window = ms < WINDOW ? ms : WINDOW;
    reg [FB+10:0] fifo [0:(1<<FIFO_BITS)-1], front;
    reg [FIFO_BITS:0] head, tail; // one bit more than an address: full isn't empty
    reg front_valid, is_late, is_overrun;
    reg [15:0] last_ms;
    wire [FIFO_BITS:0] n_waiting = tail - head;
    wire in_ready;
    wire pops = n_waiting != 0 && (!front_valid || in_ready);
    assign is_full = n_waiting[FIFO_BITS], late_led = is_late, overrun_led = is_overrun;
    always @(posedge clk) begin
        if (pushes_spike || pushes_tick || pushes_end) begin
            fifo[tail[FIFO_BITS-1:0]] <= {pushes_end, ms_in_window, unit};
            tail <= tail + 1'b1;
            if (pushes_end) last_ms <= 0;
            else if (ms > last_ms) last_ms <= ms;
        end
        if (pops) begin front <= fifo[head[FIFO_BITS-1:0]]; head <= head + 1'b1; end
        if (pops || in_ready) front_valid <= pops;
        if (rst || asks) begin is_late <= 0; is_overrun <= 0; end
        if (pushes_spike && ms < last_ms) is_late <= 1;
        if (is_spike && is_full) is_overrun <= 1;
        if (rst) begin head <= 0; tail <= 0; front_valid <= 0; last_ms <= 0; end
    end

    wire out_valid, out_last;
    wire [31:0] out_score;
    wire [15:0] out_answer;
    reg out_ready;
    core #(.LANES(LANES), .WRITABLE(WRITABLE), .INITIAL(INITIAL)) core (
        .clk(clk), .rst(rst),
        .in_valid(front_valid), .in_ready(in_ready), .in_end(front[FB+10]), .in_ms(front[10 +: FB]),
        .in_unit(front[9:0]), .out_valid(out_valid), .out_ready(out_ready), .out_last(out_last),
        .out_score(out_score), .out_answer(out_answer), .out_class(),
        .load_valid(is_message && letter == "L"), .load_memory(payload[2:0]),
        .load_address(payload[31:8]), .load_data(payload[32 +: LANES*LOAD_BITS]),
        .mon_valid(), .mon_neuron(), .mon_spike(), .mon_mem()
    );

    // Replies: bytes that wait to be sent; where none do, the core's next score is taken.
    localparam N_INPUTS = N_DELAYS * N_UNITS;
    reg [63:0] reply; // the lowest byte first
    reg [3:0] reply_left;
    reg in_answer; // its letter is sent
    wire is_free = reply_left == 0 && !tx_valid;
    always @(posedge clk) begin
        out_ready <= 0;
        if (tx_ready) tx_valid <= 0;
        if (reply_left != 0 && !tx_valid) begin
            tx_byte <= reply[7:0]; tx_valid <= 1;
            reply <= reply >> 8; reply_left <= reply_left - 1'b1;
        end
        if (identifies) begin
            reply <= {N_CLASSES[7:0], N_HIDDEN[15:0], N_INPUTS[15:0], WORD_BYTES[7:0], LANES[7:0], "i"};
            reply_left <= 8;
        end else if (asks) begin
            reply <= {6'd0, is_overrun, is_late, "s"};
            reply_left <= 2;
        end else if (is_free && out_valid && !out_ready) begin
            reply <= "M"; reply_left <= 1; in_answer <= 1;
            if (in_answer) begin
                reply <= {6'd0, is_overrun, is_late, out_answer[7:0], out_score};
                reply_left <= out_last ? 4'd6 : 4'd4; in_answer <= !out_last; out_ready <= 1;
            end
        end
        if (rst) begin
            tx_valid <= 0; reply_left <= 0; in_answer <= 0; out_ready <= 0;
        end
    end
endmodule
/* verilator lint_on WIDTH */
/* verilator lint_on UNUSEDPARAM */
/* verilator lint_on UNUSEDSIGNAL */
/* verilator lint_on PINCONNECTEMPTY */
`default_nettype wire
