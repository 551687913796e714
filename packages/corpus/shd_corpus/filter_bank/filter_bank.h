/* SPDX-FileCopyrightText: 2026 The SHD downsizing study authors
   SPDX-License-Identifier: MIT

   From 16-bit samples to the events of an utterance, one sample at a time, in whole numbers: see
   filter_bank.c. filter_bank_tables.h comes from `FilterBank.c_header()`. */
#ifndef FILTER_BANK_H
#define FILTER_BANK_H

#include <stdint.h>

#include "filter_bank_tables.h"

#define REPLAYED (REPLAY_STEPS + START_STEPS) /* steps that an utterance has when it is found */
#define EVENT_BYTES ((N_CHANNELS + 7) / 8)

typedef enum { NO_STEP = -1, IDLE, BEGINS, GOES_ON, ENDS, IS_DROPPED } filter_bank_status;

typedef struct {
    int32_t u1[N_CHANNELS], v1[N_CHANNELS], u2[N_CHANNELS], v2[N_CHANNELS]; /* two resonators */
    uint32_t sum[N_CHANNELS];                       /* of magnitudes, in this step */
    uint16_t floor[N_CHANNELS];                     /* 1/16 units */
    uint8_t level[N_CHANNELS], potential[N_CHANNELS]; /* units */
    uint8_t events[REPLAYED][EVENT_BYTES];          /* of the last steps, a bit for each channel */
    int32_t floors, floors_before; /* sum over channels: now, and when the utterance began */
    int16_t previous;              /* sample */
    uint16_t peak;                 /* 1/16 units */
    uint16_t n_samples;            /* in this step */
    uint16_t settling;             /* steps until the floors are known */
    uint16_t n_loud, length, n_quiet; /* steps: before a start, of the utterance, since it was loud */
    uint8_t newest;                   /* row of `events` */
    uint8_t in_utterance;
} filter_bank;

void filter_bank_start(filter_bank *bank);
filter_bank_status filter_bank_sample(filter_bank *bank, int16_t sample);
filter_bank_status filter_bank_flush(filter_bank *bank);
const uint8_t *filter_bank_events(const filter_bank *bank, int age);

#endif
