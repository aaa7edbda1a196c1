//! Side-by-side performance, and the rules that are tests.
