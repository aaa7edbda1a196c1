//! The robot's side of the law. Pure.
