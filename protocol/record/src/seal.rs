//! The chain over a record, its seals, and who checks them.
//!
//! Knows: what is hashed, what is signed, what follows from a seal that does not hold. Does not
//! know: files. The same code checks a whole file, a cut one and one that is being recovered.
//!
//! The chain is `c[i] = SHA-256(c[i-1] || topic || sequence || log time || data)`, from zeros. A
//! seal says the chain of everything before it, the first 8 bytes of the chain after each message
//! since the last seal (the *tags*), and is signed, the case's random id with it, by the key of the
//! certificate in the start. The tags say *which* message is the first that is not as it was; the
//! whole chain and the signature say *that* all are. The chain goes on over the seal itself.

use crate::file::{End, Message, read};
use crate::schema::{Cdr, Kind, Start, Uncdr, when};
use longhand_quic::trust::{Believed, Signer, SignerKey, SigningError};
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

/// The chain's value after a message, or before the first.
pub type Chain = [u8; 32];

/// The chain after `message`.
pub fn link<K: Kind>(before: &Chain, message: &Message<K>) -> Chain {
    let topic = u8::try_from(message.topic.place()).unwrap_or(u8::MAX);
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update([topic]);
    hash.update(message.sequence.to_le_bytes());
    hash.update(message.log_time.to_le_bytes());
    hash.update(&message.data);
    hash.finalize().into()
}

fn tag(chain: &Chain) -> u64 {
    chain.first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first))
}

/// Why a seal ends nothing, or a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// The record goes on.
    No,
    /// The record ends here.
    Yes,
    /// The record goes on in another file.
    Part,
}

impl Last {
    const fn number(self) -> u8 {
        match self {
            Self::No => 0,
            Self::Yes => 1,
            Self::Part => 2,
        }
    }
}

/// A seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Messages before it in its file.
    pub records: u64,
    /// The kind's clock, microseconds, at the moment of `wall_ns`.
    pub at_us: u64,
    /// Wall time, nanoseconds since 1970.
    pub wall_ns: u64,
    /// Of each message since the last seal.
    pub tags: Vec<u64>,
    /// Over everything before it.
    pub chain: Chain,
    /// Whether the record ends.
    pub last: Last,
    /// Over all of the above and the case.
    pub signature: Vec<u8>,
}

/// Keeps this signature from meaning anything else.
const MEANING: &[u8] = b"longhand record seal v1\0";

impl Seal {
    fn unsigned(&self) -> Cdr {
        let mut out = Cdr::default();
        out.longs(&[self.records, self.at_us, self.wall_ns]);
        out.length(self.tags.len()).longs(&self.tags);
        out.fixed(&self.chain).fixed(&[self.last.number()]);
        out
    }

    fn signed_bytes(&self, case_id: &[u8; 16]) -> Vec<u8> {
        [MEANING, case_id, &self.unsigned().done()].concat()
    }

    /// As CDR.
    pub fn to_cdr(&self) -> Vec<u8> {
        let mut out = self.unsigned();
        out.bytes(&self.signature);
        out.done()
    }

    /// From CDR; `None` where it is none.
    pub fn of_cdr(data: &[u8]) -> Option<Self> {
        let mut cdr = Uncdr::new(data)?;
        let (records, at_us, wall_ns) = (cdr.long()?, cdr.long()?, cdr.long()?);
        let count = cdr.length()?;
        // A length is somebody's word: what is not there is not waited for.
        let tags: Option<Vec<u64>> = (0..count).map(|_| cdr.long()).collect();
        let seal = Self {
            records,
            at_us,
            wall_ns,
            tags: tags?,
            chain: *cdr.fixed()?,
            last: match cdr.byte()? {
                0 => Last::No,
                1 => Last::Yes,
                2 => Last::Part,
                _ => return None,
            },
            signature: cdr.bytes()?.to_vec(),
        };
        // One form alone: nothing may hide in padding.
        (cdr.is_done() && seal.to_cdr() == data).then_some(seal)
    }
}

/// Grows the chain over what is written, and seals it.
#[derive(Debug)]
pub struct Sealer {
    case_id: [u8; 16],
    chain: Chain,
    tags: Vec<u64>,
    records: u64,
}

impl Sealer {
    /// Nothing is written yet.
    pub const fn new(case_id: [u8; 16]) -> Self {
        Self { case_id, chain: [0; 32], tags: Vec::new(), records: 0 }
    }

    /// This message was written.
    pub fn written<K: Kind>(&mut self, message: &Message<K>) {
        self.chain = link(&self.chain, message);
        self.records = self.records.saturating_add(1);
        if message.topic == K::SEAL {
            self.tags.clear();
        } else {
            self.tags.push(tag(&self.chain));
        }
    }

    /// The seal that is to be written next.
    ///
    /// Errors: the key cannot sign.
    pub fn seal(
        &mut self,
        signer: &Signer,
        (at_us, wall_ns): (u64, u64),
        last: Last,
    ) -> Result<Seal, SigningError> {
        let (tags, chain) = (self.tags.clone(), self.chain);
        let (records, signature) = (self.records, Vec::new());
        let mut seal = Seal { records, at_us, wall_ns, tags, chain, last, signature };
        seal.signature = signer.sign(&seal.signed_bytes(&self.case_id))?;
        Ok(seal)
    }

    /// The chain so far.
    pub const fn chain(&self) -> Chain {
        self.chain
    }

    /// Messages since the last seal.
    pub fn open(&self) -> usize {
        self.tags.len()
    }
}

/// Whom to believe.
#[derive(Clone, Debug)]
pub enum Belief {
    /// Whoever this hospital lets keep such a record.
    Hospital(Box<Believed>),
    /// Whoever the file says it is: shows that nothing was damaged, not who wrote it.
    Itself,
}

/// The first message that is not as it was, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Its number in the file, from 0.
    pub record: u64,
    /// The newest tick before it.
    pub after_tick: Option<u64>,
    /// What is wrong.
    pub flaw: Flaw,
}

/// What can be wrong with a message. Each says what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A record begins with its start, and has one.
    Start,
    /// The signer is none whom this hospital lets keep such a record.
    Signer(String),
    /// It is not the message that was sealed at this place: edited, put in, or moved here.
    Other,
    /// The seal comes too early: a message that it counts is gone.
    Missing,
    /// The seal does not hold: of what stands since the last one nothing is proven.
    Seal,
    /// It cannot be read as what it says it is.
    Unreadable(String),
    /// It stands behind the record's end.
    AfterEnd,
    /// The witness that is asked kept nothing of this record.
    Unwitnessed,
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start => f.write_str("a record begins with one start, in a format of ours"),
            Self::Signer(why) => write!(f, "{why}"),
            Self::Other => {
                f.write_str("not what was sealed at this place: edited, put in, or moved here")
            }
            Self::Missing => f.write_str("what was sealed at this place is gone"),
            Self::Seal => {
                f.write_str("the seal behind it does not hold; nothing from here on is proven")
            }
            Self::Unreadable(why) => write!(f, "it cannot be read ({why})"),
            Self::Unwitnessed => f.write_str("the witness kept nothing of this record"),
            Self::AfterEnd => f.write_str("it stands behind the end of the record"),
        }
    }
}

/// Checks a record message by message.
#[derive(Debug)]
pub struct Checker<K> {
    kind: PhantomData<K>,
    belief: Belief,
    start: Option<Start>,
    key: Option<SignerKey>,
    chain: Chain,
    /// Tags since the last seal.
    open: Vec<u64>,
    records: u64,
    seals: u32,
    proven: u64,
    sealed_chain: Chain,
    last: Last,
    last_tick: Option<u64>,
}

impl<K: Kind> Checker<K> {
    /// A checker at the beginning of a file.
    pub const fn new(belief: Belief) -> Self {
        Self {
            kind: PhantomData,
            belief,
            start: None,
            key: None,
            chain: [0; 32],
            open: Vec::new(),
            records: 0,
            seals: 0,
            proven: 0,
            sealed_chain: [0; 32],
            last: Last::No,
            last_tick: None,
        }
    }

    /// Takes the next message. `true`: it is a seal that holds, and all before it is proven.
    ///
    /// Errors: [`Bad`] names the first message that is not as it was; take no more.
    pub fn take(&mut self, message: &Message<K>) -> Result<bool, Bad> {
        if self.last != Last::No {
            return Err(self.bad(self.records, Flaw::AfterEnd));
        }
        if (message.topic == K::START) != self.start.is_none() {
            return Err(self.bad(self.records, Flaw::Start));
        }
        let sealed = message.topic == K::SEAL;
        if message.topic == K::START {
            self.begin(message)?;
        } else if sealed {
            self.judge(message)?;
        } else if message.topic == K::TICK {
            self.last_tick = when::<K>(&message.data).map(|(tick, _)| tick);
        }
        self.chain = link(&self.chain, message);
        self.records = self.records.saturating_add(1);
        if sealed {
            (self.proven, self.sealed_chain) = (self.records, self.chain);
        } else {
            self.open.push(tag(&self.chain));
        }
        Ok(sealed)
    }

    fn begin(&mut self, message: &Message<K>) -> Result<(), Bad> {
        let start = Start::of_cdr(&message.data).ok_or_else(|| self.bad(0, Flaw::Start))?;
        let at = SystemTime::UNIX_EPOCH + Duration::from_nanos(start.wall_ns);
        let key = match &self.belief {
            Belief::Hospital(believed) => K::believed(believed, &start, at),
            Belief::Itself => SignerKey::unproven(&start.certificate),
        };
        let key = key.map_err(|error| self.bad(0, Flaw::Signer(error.to_string())))?;
        (self.start, self.key) = (Some(start), Some(key));
        Ok(())
    }

    /// The tags first: they name the message. Then chain, count and signature, which prove it.
    fn judge(&mut self, message: &Message<K>) -> Result<(), Bad> {
        let base = self.records.saturating_sub(u64::try_from(self.open.len()).unwrap_or(0));
        let Some(seal) = Seal::of_cdr(&message.data) else {
            let flaw = Flaw::Unreadable("it is no seal".to_owned());
            return Err(self.bad(self.records, flaw));
        };
        let (Some(start), Some(key)) = (&self.start, &self.key) else {
            return Err(self.bad(0, Flaw::Start));
        };
        let mut places = base..;
        let differs = self.open.iter().zip(&seal.tags).zip(&mut places);
        let first = differs.into_iter().find(|((ours, theirs), _)| ours != theirs);
        let signed = key.has_signed(&seal.signed_bytes(&start.case_id), &seal.signature);
        if !signed {
            // Whoever could write that seal could write its tags: they name nothing.
            return Err(self.bad(base, Flaw::Seal));
        }
        if let Some((_, place)) = first {
            return Err(self.bad(place, Flaw::Other));
        }
        let theirs = u64::try_from(seal.tags.len()).unwrap_or(u64::MAX);
        let ours = u64::try_from(self.open.len()).unwrap_or(u64::MAX);
        if ours > theirs {
            return Err(self.bad(base.saturating_add(theirs), Flaw::Other));
        }
        if ours < theirs {
            return Err(self.bad(self.records, Flaw::Missing));
        }
        if seal.chain != self.chain || seal.records != self.records {
            return Err(self.bad(base, Flaw::Seal));
        }
        // The seal's own place and time are in no hash that it signs: they follow from what is.
        let is_at = start.wall_of(seal.at_us);
        if message.log_time != is_at || message.sequence != self.seals {
            return Err(self.bad(self.records, Flaw::Other));
        }
        self.seals = self.seals.wrapping_add(1);
        self.open.clear();
        self.last = seal.last;
        Ok(())
    }

    /// The next message cannot be read.
    pub fn unreadable(&self, why: String) -> Bad {
        self.bad(self.records, Flaw::Unreadable(why))
    }

    const fn bad(&self, record: u64, flaw: Flaw) -> Bad {
        Bad { record, after_tick: self.last_tick, flaw }
    }

    /// The file's start, once it was read.
    pub const fn start(&self) -> Option<&Start> {
        self.start.as_ref()
    }

    /// Messages that a seal has proven, the seal itself counted.
    pub const fn proven(&self) -> u64 {
        self.proven
    }

    /// Messages taken.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Whether the last seal was the record's, or the part's, last.
    pub const fn last(&self) -> Last {
        self.last
    }

    /// The chain after the last seal that holds: what the next part calls `previous`.
    pub const fn sealed_chain(&self) -> Chain {
        self.sealed_chain
    }
}

/// What a whole file is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every message is as it was written, from the start to the end.
    Whole,
    /// The same, and the record goes on in another part.
    Part,
    /// What is proven is as it was written, and then it stops: a crash, or somebody cut it.
    Cut,
    /// Something is not as it was.
    Bad(Bad),
}

/// What was found in a file.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What it is worth.
    pub verdict: Verdict,
    /// Its first message, once that was read and its signer believed.
    pub start: Option<Start>,
    /// Messages that a seal has proven: the first one that is not has this number.
    pub proven: u64,
    /// The chain behind them.
    pub chain: Chain,
}

/// More messages than any block has. Chosen: ten times 40 ticks with 4 each.
const BLOCK_MAX: usize = 20_000;

/// Why a reading stopped.
enum Stop {
    Bad(Bad),
    Disk(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// Reads a record and judges it. Each block goes to `take` once its seal holds, the seal last; what
/// no seal has proven goes nowhere.
///
/// Errors: the file cannot be read, or what `take` said.
pub fn judge<K: Kind>(
    from: impl Read,
    belief: Belief,
    mut take: impl FnMut(&Start, &[Message<K>]) -> io::Result<()>,
) -> io::Result<Judged> {
    let mut checker = Checker::<K>::new(belief);
    let mut block = Vec::new();
    let end = read(from, |message: Message<K>| {
        let is_sealed = checker.take(&message).map_err(Stop::Bad)?;
        block.push(message);
        if block.len() > BLOCK_MAX {
            return Err(Stop::Bad(checker.unreadable("a block without an end".to_owned())));
        }
        if let (true, Some(start)) = (is_sealed, checker.start()) {
            take(start, &block)?;
            block.clear();
        }
        Ok(())
    });
    let verdict = match end {
        Err(Stop::Disk(error)) => return Err(error),
        Err(Stop::Bad(bad)) => Verdict::Bad(bad),
        Ok(End::Broken(why)) => Verdict::Bad(checker.unreadable(why)),
        Ok(End::Cut) => Verdict::Cut,
        Ok(End::Whole) if !block.is_empty() => {
            let first = checker.records().saturating_sub(u64::try_from(block.len()).unwrap_or(0));
            Verdict::Bad(checker.bad(first, Flaw::Seal))
        }
        Ok(End::Whole) => match checker.last() {
            Last::No => Verdict::Cut,
            Last::Yes => Verdict::Whole,
            Last::Part => Verdict::Part,
        },
    };
    let (proven, chain) = (checker.proven(), checker.sealed_chain());
    Ok(Judged { verdict, start: checker.start, proven, chain })
}
