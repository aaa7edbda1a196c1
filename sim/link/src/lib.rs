//! The link emulator: sans-IO, seeded.
