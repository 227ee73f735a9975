use std::os::unix::fs::symlink;

use super::*;

/// Copies a folder with a file and an entry that `spoil` makes; answers what was copied.
fn mirrored(may_lack: bool, spoil: impl Fn(&Path)) -> Result<(usize, u64), BackupError> {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::create_dir(&from).unwrap();
    fs::write(from.join("000001.sst"), "whole").unwrap();
    spoil(&from.join("000002.sst"));
    let silent = |_: String| ();
    let mut mirror = Mirror::new(&silent);
    mirror.may_lack = may_lack;
    mirror.folder(&from, &to, None)?;
    assert_eq!(fs::read(to.join("000001.sst")).unwrap(), b"whole");
    Ok((mirror.files, mirror.bytes))
}

// A link to nothing is listed, and not there.
fn gone(path: &Path) {
    symlink("nothing", path).unwrap();
}

// A link to itself is there, and cannot be read.
fn unreadable(path: &Path) {
    symlink(path, path).unwrap();
}

#[test]
fn a_file_that_has_expired_meanwhile_is_left_out_and_no_other() {
    assert_eq!(mirrored(true, gone).unwrap(), (1, 5));
    let cases: [(bool, fn(&Path)); 3] = [(false, gone), (false, unreadable), (true, unreadable)];
    for (may_lack, spoil) in cases {
        let problem = mirrored(may_lack, spoil).unwrap_err().to_string();
        assert!(problem.contains("000002.sst"), "{problem}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_told_unless_it_may_lack() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let silent = |_: String| ();
    let mut mirror = Mirror::new(&silent);
    assert!(mirror.folder(&from, &to, None).is_err());
    mirror.may_lack = true;
    mirror.folder(&from, &to, None).unwrap();
}
