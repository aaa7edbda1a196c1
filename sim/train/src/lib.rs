//! Practice: a world that can be touched, tasks that can be failed, scores, and a scripted trainee.
//!
//! Knows: contact, the task files, what counts as an error, how a model of a trainee moves. Does
//! not know: any clock, file, thread or link; the robot's law. It is handed the arms' measured tips
//! once a millisecond and is the same for the same seed and input, bit for bit.
//!
//! Frame: the *board's* frame, whose origin is the middle of the board's surface, x to the
//! surgeon's right, y away, z up, metres: the axes of both arms' bases, which hang above it.

pub mod contact;
pub mod dice;
pub mod episode;
pub mod instrument;
pub mod picture;
pub mod score;
pub mod task;
pub mod trainee;
