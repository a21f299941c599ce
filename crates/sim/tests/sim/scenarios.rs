//! Scenarios play as they were recorded. `LONGSHORE_WRITE_SCENARIOS=1` records them anew; read the
//! difference before you believe it.

use std::fs;
use std::path::Path;

use longshore_sim::play;

#[test]
fn scenarios_play_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let write = std::env::var_os("LONGSHORE_WRITE_SCENARIOS").is_some();
    let mut different = Vec::new();
    let mut played = 0;
    for entry in fs::read_dir(folder).expect("the folder of scenarios") {
        let path = entry.expect("an entry").path();
        let recorded = fs::read_to_string(&path).expect("a scenario");
        let now = play(&recorded);
        played += 1;
        if write {
            fs::write(&path, now).expect("it can be written");
        } else if now != recorded {
            different.push(format!("{}:\n{now}", path.display()));
        }
    }
    assert!(played > 0);
    assert!(different.is_empty(), "{}", different.join("\n"));
}
