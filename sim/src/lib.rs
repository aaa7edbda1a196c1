//! The virtual world and the demo.
