//! The surgeon's side of the law. Pure.
