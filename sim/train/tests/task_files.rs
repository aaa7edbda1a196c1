//! Task files: what ships can be read, and what is wrong is told with its line.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: a panic is how it fails"
)]

use longhand_train::task::{Goal, SHIPPED, Task, TaskError};

fn shipped() -> &'static str {
    SHIPPED[0].1
}

/// What is said of the shipped file with one piece changed.
fn changed(from: &str, to: &str) -> String {
    assert!(shipped().contains(from), "{from} stands there");
    Task::parse("mine.toml", &shipped().replacen(from, to, 1)).unwrap_err().to_string()
}

fn line_of(key: &str) -> usize {
    shipped().lines().position(|line| line.starts_with(key)).unwrap() + 1
}

#[test]
fn every_shipped_task_reads_and_is_what_its_name_says() {
    for (name, _) in SHIPPED {
        let task = Task::shipped(name).unwrap();
        assert_eq!(task.name, name);
        assert!(task.source.len() > 20, "{name} says where it comes from");
    }
    let Goal::Carry(carry) = Task::shipped("peg-transfer").unwrap().goal else { panic!() };
    assert_eq!((carry.from.len(), carry.hand_to_hand, carry.there_and_back), (6, true, true));
    let unknown = Task::shipped("no-such").unwrap_err();
    assert!(matches!(unknown, TaskError::Unknown(..)));
    assert!(unknown.to_string().contains("peg-transfer"));
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_what_to_do() {
    let told = changed("time_s = 300.0", "time_s = -1.0");
    assert!(told.contains(&format!("mine.toml, line {}: `time_s`", line_of("time_s"))), "{told}");
    assert!(told.contains("1 to 3600"), "{told}");
    let told = changed("peg_radius_mm = 1.5", "peg_radius_mm = \"thick\"");
    assert!(told.contains(&format!("line {}", line_of("peg_radius_mm"))), "{told}");
    assert!(told.contains("compare it with"), "{told}");
    let told = changed("force_n = 3.0", "force_n = nan");
    assert!(told.contains("`force_n`"), "{told}");
    let told = changed("ring_radius_mm = 9.0", "ring_radius_mm = 5.0");
    assert!(told.contains("a blade needs"), "{told}");
    let told = changed("[-60.0, 26.0], ", "");
    assert!(told.contains("`to_mm` needs as many"), "{told}");
    let told = changed("[30.0, 26.0]", "[30.0, 2.0]");
    assert!(told.contains("nearer to another"), "{told}");
    let told = changed("[30.0, 26.0]", "[300.0, 26.0]");
    assert!(told.contains("beyond `half_mm`"), "{told}");
    let told = changed("drop_s = 5.0", "drop_s = 5.0\nspill_s = 1.0");
    assert!(told.contains("spill_s") && told.contains("line"), "{told}");
    let told = changed("longhand task v1", "longhand task v9");
    assert!(told.contains("`schema`"), "{told}");
    let told = changed("[carry]", "[carried]");
    assert!(told.contains("carried"), "{told}");
    let goal = shipped().find("[carry]").unwrap();
    let none = Task::parse("mine.toml", &shipped()[..goal]).unwrap_err().to_string();
    assert!(none.contains("one goal"), "{none}");
    let (_, lead) = SHIPPED[2];
    let up = lead.replacen("5.0, -20.0]", "5.0, 20.0]", 1);
    let told = Task::parse("lead.toml", &up).unwrap_err().to_string();
    assert!(told.contains("below the entry"), "{told}");
    let told = changed("high_mm = [95.0", "high_mm = [-99.0");
    assert!(told.contains("above `low_mm`"), "{told}");
}

#[test]
fn a_peg_is_higher_than_a_ring_is_thick_and_as_high_as_it_is_round() {
    let with = |height: &str, tube: &str, radius: &str| {
        let text = shipped()
            .replacen("peg_height_mm = 10.0", &format!("peg_height_mm = {height}"), 1)
            .replacen("tube_radius_mm = 2.5", &format!("tube_radius_mm = {tube}"), 1)
            .replacen("peg_radius_mm = 1.5", &format!("peg_radius_mm = {radius}"), 1);
        Task::parse("mine.toml", &text).map_err(|error| error.to_string())
    };
    let line = format!("mine.toml, line {}: `peg_height_mm`", line_of("peg_height_mm"));
    for height in ["4.9", "5.0"] {
        let told = with(height, "2.5", "1.5").unwrap_err();
        assert!(told.contains(&line) && told.contains("above 5"), "{told}");
    }
    assert!(with("5.1", "2.5", "1.5").is_ok());
    let told = with("4.9", "1.0", "5.0").unwrap_err();
    assert!(told.contains(&line) && told.contains("5 or more"), "{told}");
    assert!(with("5.0", "1.0", "5.0").is_ok() && with("5.1", "1.0", "5.0").is_ok());
}

#[test]
fn no_piece_of_a_file_makes_it_panic() {
    // Cut anywhere, and any byte another one: a task or an error, never a panic.
    for (_, text) in SHIPPED {
        bend(text);
    }
}

fn bend(text: &str) {
    for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
        let _said = Task::parse("cut.toml", &text[..cut]);
    }
    for (at, _) in text.char_indices() {
        for other in ['9', '-', '"', ']', '\n', 'e'] {
            let mut bent: Vec<char> = text.chars().collect();
            bent[text[..at].chars().count()] = other;
            let _said = Task::parse("bent.toml", &bent.into_iter().collect::<String>());
        }
    }
}
