// SPDX-License-Identifier: GPL-2.0
//! Property tests: the clever implementations against plain models of the same thing.

mod ports;
