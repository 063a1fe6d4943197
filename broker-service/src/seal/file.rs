//! A key file: 32 random bytes in hexadecimal that wrap the data keys, readable by its owner alone.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use accredit_policy::token::hex;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::wrap::Unwrapped;
use super::{DataKey, Id, unhex};

/// Wraps data keys with the key of a file.
#[derive(Clone)]
pub struct KeyFile {
    path: PathBuf,
    key: DataKey,
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyFile({})", self.path.display())
    }
}

/// What tells a wrapped data key from every other use of the cipher.
const LABEL: &[u8] = b"accredit data key";

impl KeyFile {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, Unwrapped> {
        let failed = |error| Unwrapped::File(path.to_owned(), error);
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(Unwrapped::Open(path.to_owned(), mode));
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
        let key = unhex::<32>(text.trim()).and_then(|bytes| DataKey::read(bytes.as_slice()));
        let key = key.ok_or_else(|| Unwrapped::Content(path.to_owned()))?;
        Ok(Self { path: path.to_owned(), key })
    }

    /// Reads the file, which is made when there is none; never over one, and never half.
    pub fn made(path: &Path) -> Result<Self, Unwrapped> {
        let failed = |error| Unwrapped::File(path.to_owned(), error);
        if !path.try_exists().map_err(failed)? {
            create(path).map_err(failed)?;
        }
        Self::read(path)
    }

    /// Which key it is, without telling it.
    pub fn name(&self) -> String {
        let digest = Sha256::new_with_prefix(b"accredit key file").chain_update(self.key.bytes()).finalize();
        format!("file:{}", hex(digest.get(..8).unwrap_or_default()))
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn wrap(&self, id: Id, key: &DataKey) -> Result<Vec<u8>, Unwrapped> {
        self.key.encrypt(key.bytes(), &together(id)).map_err(|_| Unwrapped::Unfit(id))
    }

    pub(super) fn unwrap(&self, id: Id, wrapped: &[u8]) -> Result<DataKey, Unwrapped> {
        let plain = self.key.decrypt(wrapped, &together(id)).map_err(|_| Unwrapped::Unfit(id))?;
        DataKey::read(&plain).ok_or(Unwrapped::Unfit(id))
    }
}

fn together(id: Id) -> Vec<u8> {
    [LABEL, &id.0].concat()
}

/// Writes a new key beside `path` and moves it there once it is whole and on the disk.
fn create(path: &Path) -> io::Result<()> {
    let key = DataKey::random().map_err(io::Error::other)?;
    let text = Zeroizing::new(format!("{}\n", &*Zeroizing::new(hex(key.bytes()))));
    let id = Id::random().map_err(io::Error::other)?;
    let aside = path.with_extension(format!("{id}.new"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all())?;
    // A link is not made over a file: of two that begin at once, one key wins and both use it.
    let linked = match fs::hard_link(&aside, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    fs::remove_file(&aside)?;
    linked?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("accredit-key-{}-{name}", std::process::id()));
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_key_file_is_made_once_for_its_owner_alone_and_wraps() {
        let folder = folder("made");
        let path = folder.join("master.key");
        let first = KeyFile::made(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap().trim().len(), 64);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left there");
        let (id, key) = (Id::random().unwrap(), DataKey::random().unwrap());
        let wrapped = first.wrap(id, &key).unwrap();
        let second = KeyFile::made(&path).unwrap();
        assert_eq!(second.name(), first.name());
        assert_eq!(second.unwrap(id, &wrapped).unwrap().bytes(), key.bytes());
        let other = Id::random().unwrap();
        assert!(matches!(second.unwrap(other, &wrapped), Err(Unwrapped::Unfit(id)) if id == other));
        let third = KeyFile::made(&folder.join("other.key")).unwrap();
        assert_ne!(third.name(), first.name());
        assert!(matches!(third.unwrap(id, &wrapped), Err(Unwrapped::Unfit(_))));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn files_others_may_read_and_files_of_other_content_are_refused() {
        let folder = folder("refused");
        let path = folder.join("master.key");
        let says = |path: &Path| KeyFile::read(path).err().unwrap().to_string();
        assert!(says(&path).contains("No such file"), "{}", says(&path));
        KeyFile::made(&path).unwrap();
        for mode in [0o640, 0o604, 0o610] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(says(&path).contains(&format!("found mode `{mode:o}`, accepted is `600`")), "{}", says(&path));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for text in [String::new(), "ab".repeat(31), "ab".repeat(33), "xy".repeat(32)] {
            fs::write(&path, &text).unwrap();
            assert!(says(&path).contains("accepted are 64 hex digits"), "{}", says(&path));
            assert!(text.is_empty() || !says(&path).contains(&text));
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
