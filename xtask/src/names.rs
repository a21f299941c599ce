//! Rust names for the names of a service model.

/// Words that Rust keeps for itself.
const KEYWORDS: &[&str] = &["type", "match", "ref", "self", "in", "use", "move", "where", "loop"];

/// `containerDefinitions` → `container_definitions`, `type` → `r#type`.
pub fn snake(name: &str) -> String {
    // Binary units stay one word.
    let name = name.replace("GiB", "Gib").replace("MiB", "Mib");
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (i, &c) in chars.iter().enumerate() {
        if !c.is_ascii_alphanumeric() {
            out.push('_');
            continue;
        }
        if c.is_ascii_uppercase() && i > 0 {
            let after_lower = chars[i - 1].is_ascii_lowercase() || chars[i - 1].is_ascii_digit();
            let before_lower = chars.get(i + 1).is_some_and(char::is_ascii_lowercase);
            if after_lower || (chars[i - 1].is_ascii_uppercase() && before_lower) {
                out.push('_');
            }
        }
        out.push(c.to_ascii_lowercase());
    }
    if KEYWORDS.contains(&out.as_str()) { format!("r#{out}") } else { out }
}

/// `DELETE_IN_PROGRESS` → `DeleteInProgress`, `json-file` → `JsonFile`, `TaskFailedToStart` as it is.
pub fn variant(value: &str) -> String {
    let mut out = String::new();
    for word in value.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()) {
        let shouted = !word.chars().any(|c| c.is_ascii_lowercase());
        let mut chars = word.chars();
        if let Some(first) = chars.next() {
            out.push(first.to_ascii_uppercase());
            let rest: String = chars.collect();
            out.push_str(&if shouted { rest.to_ascii_lowercase() } else { rest });
        }
    }
    if out.is_empty() || out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, 'V');
    }
    if out == "Self" { "SelfValue".to_owned() } else { out }
}

/// Makes the first letter upper case: shape names that start lower.
pub fn type_name(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |c| c.to_ascii_uppercase().to_string() + chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_as_rust() {
        let pairs = [
            ("containerDefinitions", "container_definitions"),
            ("type", "r#type"),
            ("sizeInGiB", "size_in_gib"),
            ("memoryMiB", "memory_mib"),
            ("vCpuCount", "v_cpu_count"),
            ("taskARN", "task_arn"),
            ("awslogsGroup", "awslogs_group"),
        ];
        for (name, expected) in pairs {
            assert_eq!(snake(name), expected);
        }
        assert_eq!(variant("DELETE_IN_PROGRESS"), "DeleteInProgress");
        assert_eq!(variant("json-file"), "JsonFile");
        assert_eq!(variant("TaskFailedToStart"), "TaskFailedToStart");
        assert_eq!(variant("EC2"), "Ec2");
    }
}
