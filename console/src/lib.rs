//! The surgeon's console: hand devices, the page, and the 1 kHz leader thread.

pub mod input;

pub mod page;
