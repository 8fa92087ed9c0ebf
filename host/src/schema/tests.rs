use super::*;
#[test]
fn suite() {
    let mut files: Vec<_> = std::fs::read_dir("/tmp/suite/tests/draft2020-12").unwrap().map(|e| e.unwrap().path()).filter(|p| p.extension().is_some()).collect();
    files.sort();
    let (mut ok, mut bad, mut unread) = (0, 0, 0);
    for file in files {
        let cases: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        for case in cases.as_array().unwrap() {
            let schema = match Schema::read(&case["schema"]) {
                Ok(s) => s,
                Err(e) => { unread += 1; println!("UNREAD {} {}: {e}", file.file_name().unwrap().display(), case["description"]); continue }
            };
            for test in case["tests"].as_array().unwrap() {
                let said = schema.check(&test["data"]);
                let valid = said.as_ref().is_ok_and(Vec::is_empty);
                if valid == (test["valid"] == true) { ok += 1 } else { bad += 1; println!("BAD {} {} / {}: {said:?}", file.file_name().unwrap().display(), case["description"], test["description"]) }
            }
        }
    }
    println!("{ok} ok {bad} bad {unread} unread");
}
