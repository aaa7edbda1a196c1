//! An OpenIGTLink server: the robot for 3D Slicer, PLUS and what else speaks it.
//!
//! Knows: which messages, how often, and what a client may ask for. Does not know: bytes
//! (`message`). It has no encryption and no names: loopback is where it belongs, or a network that
//! is the operating room's own.
//!
//! Each client hears, as device `PSM1` and `PSM2`: TRANSFORM (where the tip is; millimetres in the
//! arm's base frame) and SENSOR (six joints and the jaw; rad, insertion m); as device `Longhand`:
//! STATUS and STRING (the stage) once a second and at every change. Who asks with STT_TDATA is sent
//! TDATA of both tips until STP_TDATA. Version 1 is spoken until the client says version 2.
//!
//! What a client sends is read and bounded; it can ask for tracking and for nothing else. One that
//! does not read is dropped: messages are made from the newest tick, never queued.

mod message;

use crate::words::View;
use longhand_protocol::geometry::ArmId;
use longhand_protocol::message::{Reason, Stage};
use message::{BODY_MAX, HEADER, Header, Sender, inner, pack};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};

/// Clients at once; one more is closed at once. Chosen: more than there are screens in a room.
const CLIENTS_MAX: usize = 16;
/// A client that takes nothing for so long is closed. Chosen: a screen that stood still for two
/// seconds connects again.
const TAKES_WITHIN: Duration = Duration::from_secs(2);
/// How often the status is said where nothing changes.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// Questions of one client that may wait; a client with more waits itself.
const QUESTIONS: usize = 8;
const DEVICE: &str = "Longhand";

/// Serves clients until the process ends.
pub async fn serve(listener: TcpListener, views: watch::Receiver<Option<View>>) {
    let seats = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            // No descriptor is left: that may pass.
            tokio::time::sleep(STATUS_EVERY).await;
            continue;
        };
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else { continue };
        let views = views.clone();
        tokio::spawn(async move {
            tracing::info!(%from, "an OpenIGTLink client connected");
            let why = tell(stream, views).await;
            tracing::info!(%from, "the OpenIGTLink client is gone: {why}");
            drop(seat);
        });
    }
}

/// What a client says that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// It speaks this version.
    Version(u16),
    /// Tracking data, so far apart.
    Track(Duration),
    /// No more of it.
    Stop,
}

/// Tells one client, until it is gone; says why.
async fn tell(stream: TcpStream, mut views: watch::Receiver<Option<View>>) -> &'static str {
    // A pose that waits for company is old.
    if stream.set_nodelay(true).is_err() {
        return "its socket is gone";
    }
    let (read, mut write) = stream.into_split();
    let (ask, mut asked) = mpsc::channel(QUESTIONS);
    let hears = tokio::spawn(hear(read, ask));
    let mut client = Client::default();
    let mut status = tokio::time::interval(STATUS_EVERY);
    let why = loop {
        let messages = tokio::select! {
            question = asked.recv() => match question {
                Some(question) => client.answer(question),
                None => break "it closed, or sent what is no OpenIGTLink",
            },
            _ = status.tick() => views.borrow().map_or(Vec::new(), |view| client.status(&view)),
            changed = views.changed() => {
                if changed.is_err() {
                    break "the gateway ends";
                }
                views.borrow_and_update().map_or(Vec::new(), |view| client.tick(&view))
            }
        };
        if let Some(why) = send(&mut write, &messages).await {
            break why;
        }
    };
    hears.abort();
    why
}

async fn send(write: &mut OwnedWriteHalf, messages: &[u8]) -> Option<&'static str> {
    match tokio::time::timeout(TAKES_WITHIN, write.write_all(messages)).await {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some("its socket is gone"),
        Err(_) => Some("it does not read"),
    }
}

/// Reads what a client says, until it says nonsense or nothing more.
async fn hear(mut read: OwnedReadHalf, ask: mpsc::Sender<Asked>) {
    let mut version = 1;
    loop {
        let mut head = [0; HEADER];
        if read.read_exact(&mut head).await.is_err() {
            return;
        }
        let Some(header) = Header::of(&head).filter(|header| header.size <= BODY_MAX) else {
            return;
        };
        let mut body = vec![0; usize::try_from(header.size).unwrap_or(0)];
        if read.read_exact(&mut body).await.is_err() {
            return;
        }
        if !(1..=3).contains(&header.version) || !header.fits(&body) {
            continue;
        }
        if header.version.min(2) != version {
            version = header.version.min(2);
            if ask.send(Asked::Version(version)).await.is_err() {
                return;
            }
        }
        if let Some(question) = question(&header, &body)
            && ask.send(question).await.is_err()
        {
            return;
        }
    }
}

fn question(header: &Header, body: &[u8]) -> Option<Asked> {
    if header.is("STP_TDATA") {
        return Some(Asked::Stop);
    }
    if !header.is("STT_TDATA") {
        return None;
    }
    let (resolution, _) = inner(header.version, body)?.split_first_chunk::<4>()?;
    let resolution = u64::try_from(i32::from_be_bytes(*resolution)).unwrap_or(0);
    Some(Asked::Track(Duration::from_millis(resolution)))
}

/// What one client hears.
struct Client {
    version: u16,
    number: u32,
    said: Option<(Stage, Reason, bool)>,
    tracking: Option<Duration>,
    tracked_us: u64,
}

impl Default for Client {
    fn default() -> Self {
        Self { version: 1, number: 0, said: None, tracking: None, tracked_us: 0 }
    }
}

impl Client {
    fn answer(&mut self, asked: Asked) -> Vec<u8> {
        match asked {
            Asked::Version(version) => {
                self.version = version;
                Vec::new()
            }
            Asked::Track(every) => {
                self.tracking = Some(every);
                self.pack(DEVICE, 0, "RTS_TDATA", &[0])
            }
            Asked::Stop => {
                self.tracking = None;
                self.pack(DEVICE, 0, "RTS_TDATA", &[0])
            }
        }
    }

    /// Where both arms are, and the status where it is another.
    fn tick(&mut self, view: &View) -> Vec<u8> {
        let state = &view.record.state.state;
        let mut messages = Vec::new();
        let is_new = self.said != Some((state.stage, state.reason, view.silent));
        if is_new {
            messages.extend(self.status(view));
        }
        // What is old is not said as if it were where the arm is.
        if view.silent {
            return messages;
        }
        let at = view.record.wall_ns;
        for arm in ArmId::ALL {
            let (name, arm) = (arm.name(), state.arms.get(arm));
            let joints: Vec<f64> =
                arm.measured_js.0.into_iter().chain([arm.measured_jaw]).collect();
            let place = message::transform(&arm.measured_cp);
            messages.extend(self.pack(name, at, "TRANSFORM", &place));
            messages.extend(self.pack(name, at, "SENSOR", &message::sensor(&joints)));
        }
        let now = state.robot_time.as_micros();
        let is_due = self.tracking.is_some_and(|every| {
            u128::from(now.saturating_sub(self.tracked_us)) >= every.as_micros()
        });
        if is_due {
            self.tracked_us = now;
            let tools = ArmId::ALL.map(|arm| (arm.name(), &state.arms.get(arm).measured_cp));
            messages.extend(self.pack(DEVICE, at, "TDATA", &message::tracking(&tools)));
        }
        messages
    }

    fn status(&mut self, view: &View) -> Vec<u8> {
        let state = &view.record.state.state;
        self.said = Some((state.stage, state.reason, view.silent));
        let (code, at) = (code(view), view.record.wall_ns);
        let words = if view.silent { "the robot agent is silent" } else { state.reason.words() };
        let status = message::status(code, state.stage.name(), words);
        let mut messages = self.pack(DEVICE, at, "STATUS", &status);
        let stage = message::string(state.stage.name());
        messages.extend(self.pack(DEVICE, at, "STRING", &stage));
        messages
    }

    fn pack(&mut self, device: &str, wall_ns: u64, kind: &str, body: &[u8]) -> Vec<u8> {
        self.number = self.number.wrapping_add(1);
        let sender = Sender { version: self.version, device, wall_ns, number: self.number };
        pack(&sender, kind, body)
    }
}

/// The protocol's own words for how a device is.
fn code(view: &View) -> u16 {
    const OK: u16 = 1;
    const EMERGENCY: u16 = 3;
    const CONNECTION_LOST: u16 = 7;
    const NOT_READY: u16 = 13;
    const DISABLED: u16 = 15;
    const HARDWARE: u16 = 18;
    let state = &view.record.state.state;
    if view.silent {
        return CONNECTION_LOST;
    }
    match state.stage {
        Stage::Follow | Stage::Coast => OK,
        Stage::Brake | Stage::Hold | Stage::Latched if state.reason == Reason::LinkSilent => {
            CONNECTION_LOST
        }
        Stage::Brake | Stage::Hold | Stage::Latched | Stage::Bedside => NOT_READY,
        Stage::SafeOff if state.reason == Reason::EmergencyStop => EMERGENCY,
        Stage::SafeOff => HARDWARE,
        Stage::Disabled => DISABLED,
    }
}
