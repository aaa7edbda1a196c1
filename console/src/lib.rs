//! The surgeon's console.
