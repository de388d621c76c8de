// SPDX-License-Identifier: GPL-2.0
//! Property tests: the clever ways of the pure folders against plain ways to the same result.

mod cursors;
mod hashed;
mod least;
mod locality;
mod persist;
mod ports;
mod rates;
mod rr;
mod sip;
mod steps;
mod twos;
mod wrr;
