//! Fixed seeds, run on every test; `make sim` runs more.

use longshore_sim::{Options, run};

/// Seeds that once found something, and a few more.
const SEEDS: &[u64] = &[1, 2, 3, 58, 63, 67, 98, 124, 140, 141, 286, 300, 563, 984];

#[test]
fn fixed_seeds_are_clean() {
    for seed in SEEDS {
        let outcome = run(&Options::new(*seed));
        assert!(outcome.violations.is_empty(), "seed {seed}: {:?}", outcome.violations);
        assert!(outcome.steps > 50, "seed {seed} did nothing");
    }
}

#[test]
fn a_seed_repeats_its_run() {
    let (one, two) = (run(&Options::new(7)), run(&Options::new(7)));
    assert_eq!(one.story, two.story);
    assert_ne!(one.story, run(&Options::new(8)).story);
}
