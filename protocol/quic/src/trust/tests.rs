//! The trust folder: what it writes, and what it refuses.

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn init_issue_list_revoke_open_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut trust = Trust::init(folder.path(), "St. Elsewhere").unwrap();
    let robot = trust.issue(Role::Robot, "or3", 7, Some(RobotId::new(3))).unwrap();
    let lopez = trust.issue(Role::Surgeon, "dr-lopez", 30, None).unwrap();
    for key in [folder.path().join(CA_KEY), robot.key.clone(), lopez.key.clone()] {
        assert_eq!(mode(&key), PRIVATE);
    }
    assert_eq!(robot.who.robot, Some(RobotId::new(3)));
    let listed = trust.list().unwrap();
    let names: Vec<_> = listed.iter().map(|one| (one.who.name.as_str(), one.revoked)).collect();
    assert_eq!(names, [("dr-lopez", false), ("or3", false)]);
    let life = lopez.who.not_after.duration_since(lopez.who.not_before).unwrap();
    assert_eq!(life.as_secs(), 30 * 86_400 + 300);

    let revoked = trust.revoke("dr-lopez").unwrap();
    assert_eq!(revoked, std::slice::from_ref(&lopez.who));
    let again = Trust::open(folder.path()).unwrap();
    let names: Vec<_> = again.list().unwrap().into_iter().map(|one| one.revoked).collect();
    assert_eq!(names, [true, false]);
    // The robot's folder still lies here: it has the new list, the machine's copy would not.
    let own = fs::read_to_string(robot.folder.join(CA_LIST)).unwrap();
    assert_eq!(own, fs::read_to_string(folder.path().join(CA_LIST)).unwrap());
    assert!(matches!(trust.revoke("dr-lopez"), Err(TrustError::AlreadyRevoked { .. })));
    assert!(matches!(trust.revoke("nobody"), Err(TrustError::Nobody { .. })));
}

#[test]
fn a_second_revocation_keeps_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut trust = Trust::init(folder.path(), "St. Elsewhere").unwrap();
    for name in ["a", "b", "c"] {
        trust.issue(Role::Observer, name, 1, None).unwrap();
    }
    trust.revoke("a").unwrap();
    let mut trust = Trust::open(folder.path()).unwrap();
    trust.revoke("c").unwrap();
    let revoked: Vec<bool> = trust.list().unwrap().into_iter().map(|one| one.revoked).collect();
    assert_eq!(revoked, [true, false, true]);
}

#[test]
fn nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let trust = Trust::init(folder.path(), "St. Elsewhere").unwrap();
    assert!(matches!(Trust::init(folder.path(), "Other"), Err(TrustError::Exists { .. })));
    trust.issue(Role::Surgeon, "dr-lopez", 30, None).unwrap();
    let again = trust.issue(Role::Surgeon, "dr-lopez", 30, None);
    assert!(matches!(again, Err(TrustError::Exists { .. })));
    assert_eq!(trust.list().unwrap().len(), 1);
    // Moved to its machine: it may be renewed, and both count until they are revoked.
    fs::remove_dir_all(folder.path().join("dr-lopez")).unwrap();
    trust.issue(Role::Surgeon, "dr-lopez", 30, None).unwrap();
    let mut trust = trust;
    assert_eq!(trust.revoke("dr-lopez").unwrap().len(), 2);
    // No half-built folder is left behind by any of it.
    let hidden = fs::read_dir(folder.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'))
        .count();
    assert_eq!(hidden, 0);
}

#[test]
fn impossible_requests_say_what_to_do() {
    let authority = Authority::ephemeral("St. Elsewhere").unwrap();
    let month = Validity::days(30).unwrap();
    let words = |role, name: &str, robot: Option<u64>| {
        authority.issue(role, name, robot.map(RobotId::new), month).unwrap_err().to_string()
    };
    assert!(words(Role::Robot, "or3", None).contains("--robot-id"));
    assert!(words(Role::Surgeon, "x", Some(1)).contains("leave out"));
    assert!(words(Role::Surgeon, "../x", None).contains("cannot be a name"));
    for days in [0, DAYS_MAX + 1] {
        assert!(Validity::days(days).is_err(), "{days}");
    }
    for hospital in ["", "  ", "a\nb", &"x".repeat(65)] {
        assert!(Authority::ephemeral(hospital).is_err(), "{hospital:?}");
    }
}

#[test]
fn a_key_that_others_can_read_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let trust = Trust::init(folder.path(), "St. Elsewhere").unwrap();
    let lopez = trust.issue(Role::Surgeon, "dr-lopez", 30, None).unwrap();
    fs::set_permissions(&lopez.key, fs::Permissions::from_mode(0o640)).unwrap();
    let error = Credentials::load(&lopez.folder).unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[test]
fn a_missing_or_broken_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = Trust::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("trust init"), "{error}");
    let trust = Trust::init(folder.path(), "St. Elsewhere").unwrap();
    // An authority that lost a file is no place for a new one.
    let (list, aside) = (folder.path().join(CA_CERT), folder.path().join("aside"));
    fs::rename(&list, &aside).unwrap();
    let error = Trust::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("ca.pem") && !error.contains("trust init"), "{error}");
    fs::rename(&aside, &list).unwrap();
    let lopez = trust.issue(Role::Surgeon, "dr-lopez", 30, None).unwrap();
    fs::write(&lopez.certificate, "-----BEGIN NONSENSE-----").unwrap();
    let error = Credentials::load(&lopez.folder).unwrap_err();
    assert!(error.to_string().contains("identity.pem"), "{error}");
}

#[test]
fn an_identity_reads_back_from_its_folder_and_other_der_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let trust = Trust::init(folder.path(), "St. Elsewhere").unwrap();
    let issued = trust.issue(Role::Robot, "or3", 30, Some(RobotId::new(u64::MAX))).unwrap();
    let loaded = Credentials::load(&issued.folder).unwrap();
    assert_eq!(*loaded.who(), issued.who);
    // The authority's own certificate has no role: it is nobody.
    let error = PeerIdentity::from_der(&loaded.authority).unwrap_err();
    assert_eq!(error, IdentityError::NotOneRole { found: 0 });
    for cut in 0..loaded.certificate.len() {
        assert!(PeerIdentity::from_der(loaded.certificate.get(..cut).unwrap()).is_err());
    }
}

/// The list that a running end looks at again: taken when it is the authority's and no older one.
#[test]
fn a_newer_list_is_taken_and_a_broken_foreign_or_older_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut trust = Trust::init(&folder.path().join("trust"), "Ours").unwrap();
    trust.issue(Role::Surgeon, "dr-one", 30, None).unwrap();
    let two = trust.issue(Role::Surgeon, "dr-two", 30, None).unwrap().who;
    let robot = trust.issue(Role::Robot, "or3", 30, Some(RobotId::new(1))).unwrap().folder;
    let list = robot.join("ca.crl");
    let oldest = fs::read(&list).unwrap();
    let first = Credentials::load(&robot).unwrap();
    assert!(first.with_newer_list().unwrap().is_none(), "it is the same");
    trust.revoke("dr-one").unwrap();
    let second = first.with_newer_list().unwrap().unwrap();
    let older = fs::read(&list).unwrap();
    trust.revoke("dr-two").unwrap();
    let third = second.with_newer_list().unwrap().unwrap();
    assert_eq!([&first, &second, &third].map(|c| c.revoked().len()), [0, 1, 2]);
    assert!(third.revoked().contains(&two.serial) && !second.revoked().contains(&two.serial));

    let theirs = Trust::init(&folder.path().join("theirs"), "Ours").unwrap();
    let foreign = theirs.authority().revocations_pem().as_bytes().to_vec();
    let newest = String::from_utf8(fs::read(&list).unwrap()).unwrap();
    let mut forged: Vec<&str> = newest.lines().collect();
    // Another certificate is on it than the authority has signed for.
    let line = forged[forged.len() / 2].chars().rev().collect::<String>();
    let middle = forged.len() / 2;
    forged[middle] = &line;
    let half = newest.as_bytes()[..newest.len() / 2].to_vec();
    for (bytes, words) in [
        (oldest, "older than the one in force"),
        (older, "older than the one in force"),
        (foreign, "not signed by this hospital's authority"),
        (forged.join("\n").into_bytes(), "ca.crl"),
        (half, "ca.crl"),
    ] {
        fs::write(&list, bytes).unwrap();
        let error = third.with_newer_list().unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    fs::remove_file(&list).unwrap();
    assert!(third.with_newer_list().unwrap_err().to_string().contains("cannot read"));
}
