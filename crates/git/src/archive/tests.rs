use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::testing::{World, write};

/// The archive of HEAD as git makes it, and the id of its tree.
async fn archived(world: &World) -> (Vec<u8>, String) {
    let to = world.path("archive.tar.gz");
    let output = format!("--output={}", to.display());
    world.upstream.run(&["archive", "--format=tar.gz", "--prefix=me-app-1234567/", &output, "HEAD"]).await;
    (std::fs::read(to).unwrap(), world.upstream.run(&["rev-parse", "HEAD^{tree}"]).await)
}

/// A gzipped tar of regular files.
fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o664);
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

#[tokio::test]
async fn an_archive_has_the_files_of_the_tree_with_their_ids() {
    let world = World::new().await;
    let dir = &world.upstream.dir;
    for (path, content) in [
        ("a.py", "# TODO: a\n"),
        ("a/b.py", "b"),
        ("a-b", "sorts between"),
        ("a0", ""),
        ("deep/er/with space and ü", "x"),
        ("new\nline", "harmless"),
        (&format!("long/{}", "n".repeat(150)), "long"),
    ] {
        write(dir, path, content);
    }
    write(dir, "run.sh", "#!/bin/sh\n");
    world.upstream.run(&["add", "--all"]).await;
    world.upstream.run(&["update-index", "--chmod=+x", "run.sh"]).await;
    std::os::unix::fs::symlink("../../etc/passwd", dir.join("link")).unwrap();
    let head = world.upstream.commit(&[]).await;
    let (archive, tree) = archived(&world).await;
    let unpacked = unpack(&archive, &tree, |path, size| path.ends_with(".py") && size > 1).unwrap();
    let mirror = world.mirror().await;
    mirror.fetch().await.unwrap();
    let by_path = |mut files: Vec<TreeFile>| {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    };
    assert_eq!(by_path(unpacked.files.clone()), by_path(mirror.files(&head).await.unwrap().files));
    let kept: Vec<_> = unpacked.contents.values().collect();
    assert_eq!(kept, [b"# TODO: a\n"]);
    let oid = unpacked.contents.keys().next().unwrap();
    assert_eq!(unpacked.files.iter().find(|file| file.oid == *oid).unwrap().path, "a.py");
}

#[tokio::test]
async fn an_archive_that_leaves_files_out_or_changes_them_is_unfit() {
    for attributes in ["b export-ignore\n", "a export-subst\n", ".gitattributes export-ignore\n"] {
        let world = World::new().await;
        world.upstream.commit(&[("a", "$Format:%H$"), ("b", "1"), (".gitattributes", attributes)]).await;
        let (archive, tree) = archived(&world).await;
        assert!(matches!(unpack(&archive, &tree, |_, _| true), Err(Unfit::OtherTree)), "{attributes}");
    }
}

#[test]
fn hostile_archives_are_refused() {
    let refused = |archive: &[u8]| unpack(archive, "0", |_, _| true).unwrap_err();
    let whole = packed(&[("top/a", &[7; 5_000])]);
    for cut in [0, 5, 20, whole.len() / 2] {
        assert!(matches!(refused(&whole[..cut]), Unfit::Unreadable(_)), "cut at {cut}");
    }
    assert!(matches!(refused(b"no archive at all, but long enough to look at"), Unfit::Unreadable(_)));
    for path in ["top/../../etc/passwd", "top//a", "top/./a"] {
        assert!(matches!(refused(&packed(&[(path, b"x")])), Unfit::Foreign), "{path}");
    }
    assert!(matches!(refused(&packed(&[("top/a", b"x"), ("top/a/b", b"x")])), Unfit::OtherTree));
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(EntryType::Char);
    header.set_path("top/device").unwrap();
    header.set_size(0);
    header.set_mode(0o644);
    header.set_cksum();
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    tar.append(&header, io::empty()).unwrap();
    assert!(matches!(refused(&tar.into_inner().unwrap().finish().unwrap()), Unfit::Foreign));
}

#[test]
fn what_comes_out_of_an_archive_has_a_bound() {
    // 160 MiB of zeros in half a megabyte.
    let mut header = tar::Header::new_gnu();
    header.set_path("top/bomb.py").unwrap();
    header.set_size(160 << 20);
    header.set_mode(0o644);
    header.set_cksum();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(header.as_bytes()).unwrap();
    for _ in 0..160 {
        gzip.write_all(&[0; 1 << 20]).unwrap();
    }
    let bomb = gzip.finish().unwrap();
    assert!(bomb.len() < 8 << 20, "{}", bomb.len());
    let mut asked = Vec::new();
    let refused = unpack(&bomb, "0", |path, size| {
        asked.push((path.to_owned(), size));
        true
    });
    assert!(matches!(refused, Err(Unfit::TooLarge(_) | Unfit::Unreadable(_))), "{:?}", refused.map(drop));
    assert!(asked.is_empty(), "one of more than is kept is not even asked for: {asked:?}");
}
