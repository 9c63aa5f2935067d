//! Reads one member out of a wheel (zip) or an npm package (tar.gz).

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::Error;

/// Appends `member` of the wheel at `archive` to `out`.
pub(super) fn copy_from_wheel(archive: &Path, member: &str, out: &mut dyn Write) -> Result<u64, Error> {
    let zip_error = |source| Error::Zip { archive: file_name(archive), source };
    let file = File::open(archive).map_err(Error::io(archive))?;
    let mut zip = zip::ZipArchive::new(file).map_err(zip_error)?;
    let mut entry = match zip.by_name(member) {
        Ok(entry) => entry,
        Err(zip::result::ZipError::FileNotFound) => return Err(missing(archive, member)),
        Err(error) => return Err(zip_error(error)),
    };
    std::io::copy(&mut entry, out).map_err(Error::io(archive))
}

/// Appends `member` of the npm package at `archive` to `out`.
pub(super) fn copy_from_npm(archive: &Path, member: &str, out: &mut dyn Write) -> Result<u64, Error> {
    let file = File::open(archive).map_err(Error::io(archive))?;
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(file));
    for entry in tar.entries().map_err(Error::io(archive))? {
        let mut entry = entry.map_err(Error::io(archive))?;
        if entry.path().is_ok_and(|path| path == Path::new(member)) {
            return std::io::copy(&mut entry, out).map_err(Error::io(archive));
        }
    }
    Err(missing(archive, member))
}

fn missing(archive: &Path, member: &str) -> Error {
    Error::Member { archive: file_name(archive), member: member.to_owned() }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_out_of_both_kinds() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("a.whl");
        let mut zip = zip::ZipWriter::new(File::create(&wheel).unwrap());
        zip.start_file("a/data.bin", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(b"wheel").unwrap();
        zip.finish().unwrap();
        let npm = folder.path().join("a.tgz");
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
            File::create(&npm).unwrap(),
            flate2::Compression::fast(),
        ));
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_cksum();
        tar.append_data(&mut header, "package/x.json", &b"npm"[..]).unwrap();
        tar.into_inner().unwrap().finish().unwrap();

        let mut out = Vec::new();
        copy_from_wheel(&wheel, "a/data.bin", &mut out).unwrap();
        copy_from_npm(&npm, "package/x.json", &mut out).unwrap();
        assert_eq!(out, b"wheelnpm");
        let error = copy_from_wheel(&wheel, "b", &mut out).unwrap_err().to_string();
        assert_eq!(error, "a.whl holds no b");
        assert!(matches!(copy_from_npm(&npm, "b", &mut out), Err(Error::Member { .. })));
    }
}
