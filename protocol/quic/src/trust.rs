//! The hospital's trust: its certificate authority and the identities it issued, in a folder.
//!
//! Knows: files. Does not know: how a certificate is made (`authority`) or read (`role`), or how a
//! handshake uses it (`tls`).
//!
//! ```text
//! <folder>/ca.key            the authority's key: keep it off every network
//! <folder>/ca.pem            the authority's certificate
//! <folder>/ca.crl            who is no longer trusted, signed by the authority
//! <folder>/issued/<name>.<serial>.pem     every certificate ever issued, for `show` and `revoke`
//! <folder>/<name>/           one identity, whole: copy this folder to its machine, then remove it
//!     identity.pem  identity.key  ca.pem  ca.crl
//! ```
//!
//! Keys are readable by their owner only, files are written whole or not at all, and nothing but
//! the revocation list is ever overwritten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use longhand_protocol::message::RobotId;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use thiserror::Error;

mod authority;
mod revocations;
mod role;
mod seal;
mod signing;

pub(crate) use authority::Birth;
pub use authority::{Authority, DAYS_DEFAULT, DAYS_MAX, Identity, Validity};
pub use role::{IdentityError, PeerIdentity, Role, date, hex, robot_dns_name};
pub(crate) use role::{robot_of, shown};
pub use seal::{Seal, SealError, Sealed, Sha256, authority_fingerprint, sha256};
pub use signing::{Believed, Signer, SignerKey, SigningError};

const CA_KEY: &str = "ca.key";
const CA_CERT: &str = "ca.pem";
const CA_LIST: &str = "ca.crl";
const ISSUED: &str = "issued";
const IDENTITY_CERT: &str = "identity.pem";
const IDENTITY_KEY: &str = "identity.key";

/// For owner only.
const PRIVATE: u32 = 0o600;
/// For everybody to read: certificates and lists are public.
const PUBLIC: u32 = 0o644;
/// Largest file read. Chosen: a hundred times our largest certificate; 3000 revocations fit.
const FILE_MAX: u64 = 256 * 1024;

/// What went wrong with the hospital's trust, and what to do.
#[derive(Debug, Error)]
pub enum TrustError {
    /// A file or folder could not be used.
    #[error(
        "cannot {what} {}: {source}; check that it exists and that you may use it",
        path.display()
    )]
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something is already there.
    #[error("{} already exists and is never overwritten; {fix}", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
        /// What to do.
        fix: &'static str,
    },
    /// The key could be read by others.
    #[error(
        "{} can be read by others; run `chmod 600` on it, and issue a new one if it was shared",
        path.display()
    )]
    KeyReadable {
        /// The key file.
        path: PathBuf,
    },
    /// A file is larger than any file of ours.
    #[error("{} is too large to be one of our files; check the path", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// There is no authority in the folder.
    #[error(
        "there is no authority in {0}; make one with `trust init --dir {0} --hospital NAME`, or \
         name its folder with --dir",
        path.display()
    )]
    NoAuthority {
        /// The folder.
        path: PathBuf,
    },
    /// A file does not hold what its name says.
    #[error("{}: {source}", path.display())]
    In {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<TrustError>,
    },
    /// Nobody of that name was issued anything.
    #[error("nobody called `{name}` was issued a certificate here; `trust show` lists them")]
    Nobody {
        /// The name asked for.
        name: String,
    },
    /// Everything issued to that name is revoked already.
    #[error("every certificate of `{name}` is revoked already")]
    AlreadyRevoked {
        /// The name asked for.
        name: String,
    },
    /// A life of no days or of too many.
    #[error("a life of {got} days is not allowed; ask for 1 to {DAYS_MAX}, best {DAYS_DEFAULT}")]
    Days {
        /// The days asked for.
        got: u32,
    },
    /// A hospital without a name, or with an impossible one.
    #[error("the hospital's name must be 1 to 64 bytes without control characters")]
    HospitalName,
    /// A name that would not be safe as a file name.
    #[error("`{got}` cannot be a name; use at most 48 of a-z A-Z 0-9 - _ . and not `issued`")]
    Name {
        /// The name asked for.
        got: String,
    },
    /// A robot needs a number.
    #[error("a robot needs its number; add `--robot-id N`")]
    RobotNumberMissing,
    /// Only a robot has a number.
    #[error("a {role} has no robot number; leave out `--robot-id`")]
    RobotNumberNotWanted {
        /// The role asked for.
        role: Role,
    },
    /// The system gave no random numbers.
    #[error("the system gives no random numbers; check /dev/urandom")]
    NoRandom,
    /// The revocation list or the authority cannot be read.
    #[error("the authority's own files cannot be read ({why}); restore them from your backup")]
    List {
        /// What the parser said.
        why: String,
    },
    /// A list that may not take the place of the one in force.
    #[error("{} is not taken ({why}); copy ca.crl from the hospital's authority", path.display())]
    ListRefused {
        /// The list.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The text is not PEM, or not of the kind expected.
    #[error("not the PEM text it should be ({0}); restore it or issue a new one")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// A certificate could not be made or its key not be read.
    #[error("the certificate or key cannot be used ({0}); restore it or issue a new one")]
    Make(#[from] rcgen::Error),
    /// The certificate says something that is not ours.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// The folder of a hospital's authority.
#[derive(Debug)]
pub struct Trust {
    folder: PathBuf,
    authority: Authority,
}

/// Where an issued identity lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedPaths {
    /// The folder to copy to the machine.
    pub folder: PathBuf,
    /// The certificate in it.
    pub certificate: PathBuf,
    /// The key in it.
    pub key: PathBuf,
    /// What the certificate says.
    pub who: PeerIdentity,
}

/// One certificate that was issued, and whether it still counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// What the certificate says: role, name, serial, fingerprint, validity.
    pub who: PeerIdentity,
    /// It is on the revocation list.
    pub revoked: bool,
}

impl Trust {
    /// Makes a new authority in `folder`, which must not exist or be empty.
    pub fn init(folder: &Path, hospital: &str) -> Result<Self, TrustError> {
        let made = Authority::create(hospital)?;
        let parent = folder.parent().filter(|p| !p.as_os_str().is_empty());
        fs::create_dir_all(parent.unwrap_or(Path::new(".")))
            .map_err(at("create the folder above", folder))?;
        let build = sibling(folder);
        make_folder(&build)?;
        let authority = made.authority;
        let written = make_folder(&build.join(ISSUED))
            .and_then(|()| write_new(&build.join(CA_KEY), &made.key_pem, PRIVATE))
            .and_then(|()| write_new(&build.join(CA_CERT), &made.certificate_pem, PUBLIC))
            .and_then(|()| write_new(&build.join(CA_LIST), authority.revocations_pem(), PUBLIC));
        let fix = "name an empty folder, or remove it if you mean to lose that authority";
        written.and_then(|()| into_place(&build, folder, fix)).inspect_err(|_| discard(&build))?;
        Ok(Self { folder: folder.to_owned(), authority })
    }

    /// Opens the authority in `folder`.
    pub fn open(folder: &Path) -> Result<Self, TrustError> {
        if ![CA_CERT, CA_KEY, ISSUED].iter().any(|part| folder.join(part).exists()) {
            return Err(TrustError::NoAuthority { path: folder.to_owned() });
        }
        let cert = read(&folder.join(CA_CERT))?;
        let key = read_key(&folder.join(CA_KEY))?;
        let list = read(&folder.join(CA_LIST))?;
        let authority = Authority::from_parts(&cert, &key, &list)
            .map_err(|source| TrustError::In { path: folder.to_owned(), source: source.into() })?;
        Ok(Self { folder: folder.to_owned(), authority })
    }

    /// Issues an identity for `days` days and writes its folder. `robot` is the robot's number, for
    /// [`Role::Robot`] and for nobody else.
    pub fn issue(
        &self,
        role: Role,
        name: &str,
        days: u32,
        robot: Option<RobotId>,
    ) -> Result<IssuedPaths, TrustError> {
        self.issue_within(role, name, robot, Validity::days(days)?)
    }

    /// As [`Trust::issue`], with the exact time: for tests of what is expired or not yet valid.
    pub fn issue_within(
        &self,
        role: Role,
        name: &str,
        robot: Option<RobotId>,
        validity: Validity,
    ) -> Result<IssuedPaths, TrustError> {
        let reserved = [ISSUED, CA_CERT, CA_KEY, CA_LIST];
        if reserved.contains(&name) {
            return Err(TrustError::Name { got: name.to_owned() });
        }
        let identity = self.authority.issue(role, name, robot, validity)?;
        let folder = self.folder.join(name);
        let fix = "move it to its machine, or remove it, and issue again";
        if folder.exists() {
            return Err(TrustError::Exists { path: folder, fix });
        }
        let build = sibling(&folder);
        make_folder(&build)?;
        let written =
            self.write_identity(&build, &identity).and_then(|()| into_place(&build, &folder, fix));
        written.inspect_err(|_| discard(&build))?;
        Ok(IssuedPaths {
            certificate: folder.join(IDENTITY_CERT),
            key: folder.join(IDENTITY_KEY),
            folder,
            who: identity.who,
        })
    }

    /// Every certificate that was issued here, by name, then by the end of its life.
    pub fn list(&self) -> Result<Vec<Issued>, TrustError> {
        let folder = self.folder.join(ISSUED);
        let revoked = self.authority.revoked_serials()?;
        let mut issued = Vec::new();
        for entry in fs::read_dir(&folder).map_err(at("list", &folder))? {
            let path = entry.map_err(at("list", &folder))?.path();
            if path.extension().is_some_and(|kind| kind == "pem") {
                let who = read_identity(&path)?;
                issued.push(Issued { revoked: revoked.contains(&who.serial), who });
            }
        }
        issued.sort_by(|a, b| (&a.who.name, a.who.not_after).cmp(&(&b.who.name, b.who.not_after)));
        Ok(issued)
    }

    /// Revokes everything ever issued to `name` and returns it. Writes `ca.crl` here and in every
    /// identity folder still lying here; machines elsewhere need the new `ca.crl` copied to them.
    /// There a robot takes it while it runs ([`Credentials::with_newer_list`]), a console at its
    /// next start.
    pub fn revoke(&mut self, name: &str) -> Result<Vec<PeerIdentity>, TrustError> {
        let of_name: Vec<Issued> =
            self.list()?.into_iter().filter(|issued| issued.who.name == name).collect();
        if of_name.is_empty() {
            return Err(TrustError::Nobody { name: shown(name) });
        }
        let live: Vec<PeerIdentity> =
            of_name.into_iter().filter(|one| !one.revoked).map(|one| one.who).collect();
        if live.is_empty() {
            return Err(TrustError::AlreadyRevoked { name: name.to_owned() });
        }
        self.authority.revoke(&live.iter().collect::<Vec<_>>())?;
        self.publish_list()?;
        Ok(live)
    }

    /// The folder's authority, for credentials without files.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    fn write_identity(&self, folder: &Path, identity: &Identity) -> Result<(), TrustError> {
        write_new(&folder.join(IDENTITY_KEY), &identity.key_pem, PRIVATE)?;
        write_new(&folder.join(IDENTITY_CERT), &identity.certificate_pem, PUBLIC)?;
        write_new(&folder.join(CA_CERT), &read(&self.folder.join(CA_CERT))?, PUBLIC)?;
        write_new(&folder.join(CA_LIST), self.authority.revocations_pem(), PUBLIC)?;
        // The register before the folder is in place: an identity that was never handed out does no
        // harm there; one that is missing there could not be revoked.
        let register = format!("{}.{}.pem", identity.who.name, identity.who.serial);
        write_new(&self.folder.join(ISSUED).join(register), &identity.certificate_pem, PUBLIC)
    }

    fn publish_list(&self) -> Result<(), TrustError> {
        let list = self.authority.revocations_pem();
        replace(&self.folder.join(CA_LIST), list)?;
        for entry in fs::read_dir(&self.folder).map_err(at("list", &self.folder))? {
            let folder = entry.map_err(at("list", &self.folder))?.path();
            if folder.join(IDENTITY_CERT).is_file() {
                replace(&folder.join(CA_LIST), list)?;
            }
        }
        Ok(())
    }
}

/// What one end needs for its handshakes: its identity, whom it trusts, whom no longer.
pub struct Credentials {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) authority: CertificateDer<'static>,
    pub(crate) revocations: CertificateRevocationListDer<'static>,
    /// Where the list was read, and may be replaced; `None` where it never was a file.
    pub(crate) list_path: Option<PathBuf>,
    pub(crate) who: PeerIdentity,
}

impl Credentials {
    /// Reads an identity folder as [`Trust::issue`] wrote it. Says nothing about dates: pre-flight
    /// looks at [`Credentials::who`], and the peer judges in the handshake.
    pub fn load(folder: &Path) -> Result<Self, TrustError> {
        let (cert, key) = (folder.join(IDENTITY_CERT), folder.join(IDENTITY_KEY));
        let (authority, list) = (folder.join(CA_CERT), folder.join(CA_LIST));
        let (key_text, authority_text) = (read_key(&key)?, read(&authority)?);
        Ok(Self {
            who: read_identity(&cert)?,
            certificate: pem(&cert, CertificateDer::from_pem_slice(read(&cert)?.as_bytes()))?,
            key: pem(&key, PrivateKeyDer::from_pem_slice(key_text.as_bytes()))?,
            authority: pem(&authority, CertificateDer::from_pem_slice(authority_text.as_bytes()))?,
            revocations: pem(
                &list,
                CertificateRevocationListDer::from_pem_slice(read(&list)?.as_bytes()),
            )?,
            list_path: Some(list),
        })
    }

    /// Who this end is.
    pub fn who(&self) -> &PeerIdentity {
        &self.who
    }

    /// Who issued it: the hospital's name in its authority's certificate (empty where it has none),
    /// and that certificate's SHA-256, hexadecimal.
    pub fn hospital(&self) -> (String, String) {
        (role::common_name(&self.authority), sha256(&self.authority))
    }
}

impl Clone for Credentials {
    fn clone(&self) -> Self {
        Self {
            certificate: self.certificate.clone(),
            key: self.key.clone_key(),
            authority: self.authority.clone(),
            revocations: self.revocations.clone(),
            list_path: self.list_path.clone(),
            who: self.who.clone(),
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials of {} (key hidden)", self.who)
    }
}

fn read_identity(path: &Path) -> Result<PeerIdentity, TrustError> {
    let der = pem(path, CertificateDer::from_pem_slice(read(path)?.as_bytes()))?;
    PeerIdentity::from_der(&der)
        .map_err(|error| TrustError::In { path: path.to_owned(), source: Box::new(error.into()) })
}

fn pem<T>(path: &Path, parsed: Result<T, rustls::pki_types::pem::Error>) -> Result<T, TrustError> {
    parsed.map_err(|e| TrustError::In { path: path.to_owned(), source: Box::new(e.into()) })
}

fn at<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> TrustError + 'a {
    move |source| TrustError::File { what, path: path.to_owned(), source }
}

fn read(path: &Path) -> Result<String, TrustError> {
    let length = fs::metadata(path).map_err(at("read", path))?.len();
    if length > FILE_MAX {
        return Err(TrustError::TooLarge { path: path.to_owned() });
    }
    fs::read_to_string(path).map_err(at("read", path))
}

fn read_key(path: &Path) -> Result<String, TrustError> {
    let mode = fs::metadata(path).map_err(at("read", path))?.permissions().mode();
    // As ssh does: a key that others can read is a key that others have.
    if mode & 0o077 != 0 {
        return Err(TrustError::KeyReadable { path: path.to_owned() });
    }
    read(path)
}

/// A hidden neighbour, in which a folder is built before it is renamed into place.
fn sibling(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    folder.with_file_name(format!(".{name}.new-{}", std::process::id()))
}

fn make_folder(path: &Path) -> Result<(), TrustError> {
    fs::DirBuilder::new().mode(0o700).create(path).map_err(at("create the folder", path))
}

/// Renames a finished folder into place. Linux replaces an empty folder and refuses a full one.
fn into_place(build: &Path, folder: &Path, fix: &'static str) -> Result<(), TrustError> {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotADirectory};
    fs::rename(build, folder).map_err(|source| {
        if matches!(source.kind(), AlreadyExists | DirectoryNotEmpty | NotADirectory) {
            TrustError::Exists { path: folder.to_owned(), fix }
        } else {
            TrustError::File { what: "rename into place", path: folder.to_owned(), source }
        }
    })?;
    let parent = folder.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(at("sync", parent))
}

fn discard(build: &Path) {
    // Best effort: the error that brought us here is the one worth reporting.
    let _leftover = fs::remove_dir_all(build);
}

/// Writes a file that must not exist yet, and waits until it is on the disk.
fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), TrustError> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(at("write", path))
}

/// Replaces a file whole: readers see the old one or the new one.
fn replace(path: &Path, text: &str) -> Result<(), TrustError> {
    let build = sibling(path);
    let written = write_new(&build, text, PUBLIC)
        .and_then(|()| fs::rename(&build, path).map_err(at("replace", path)));
    written.inspect_err(|_| {
        let _leftover = fs::remove_file(&build);
    })
}

#[cfg(test)]
mod tests;
