//! The console's black box: what of it is the console's own.
//!
//! Knows: the words of a tick of the leader thread, and what a console's record says beside them.
//! Does not know: files, chains, disks (`longhand-record` has them, for both ends), or what a tick
//! decides; nothing here can reach the leader.
//!
//! `tap` takes the tick in the leader thread; `recorder` writes it; `schema` is what then stands in
//! the file. A record begins with the console's first tick, session or none. It is signed with the
//! console's identity: the surgeon's certificate, and so the surgeon's name, stands in it. No
//! patient's ever does.

use longhand_protocol::units::Console;

pub mod recorder;
pub mod schema;
pub mod tap;
pub mod tick;

/// How the console's recorder does.
pub type Health = longhand_record::health::Health<Console>;
/// One message of a console's record.
pub type Message = longhand_record::file::Message<schema::Topic>;
/// Records a console.
pub type Recorder = longhand_record::recorder::Recorder<recorder::Scribe>;
