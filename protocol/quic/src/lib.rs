//! The shell both ends share: QUIC, certificates, the pump, the clock, the mailbox.
