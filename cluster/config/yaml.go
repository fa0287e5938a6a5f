package config

import (
	"fmt"
	"strconv"
	"strings"
)

// parseYAML reads the flat part of YAML: one "key: value" a line, values plain or quoted, lists
// in brackets or as "- element" lines. Anything nested is refused by line, since a key that is
// silently not read is worse than an error.
func parseYAML(file, text string) ([]Entry, error) {
	var entries []Entry
	var list []string // elements of the block list under the last key
	for i, line := range strings.Split(newlines.Replace(text), "\n") {
		where := fmt.Sprintf("%s:%d", file, i+1)
		body := strings.TrimRight(stripYAMLComment(line), " \t")
		trimmed := strings.TrimLeft(body, " ")
		switch {
		case trimmed == "" || trimmed == "---" || trimmed == "...":
			continue
		case strings.HasPrefix(trimmed, "- ") || trimmed == "-":
			if len(entries) == 0 || (entries[len(entries)-1].Value != "" && list == nil) {
				return nil, &SyntaxError{Where: where, Reason: "a list element without a key above it"}
			}
			element, err := yamlScalar(strings.TrimSpace(trimmed[1:]))
			if err != nil {
				return nil, &SyntaxError{Where: where, Reason: err.Error()}
			}
			list = append(list, element)
			entries[len(entries)-1].Value = strings.Join(list, ",")
			continue
		case trimmed != body:
			return nil, &SyntaxError{Where: where, Reason: "nested values are not read: write the key in full, such as log.segment.bytes: 1048576"}
		}
		list = nil
		e, err := yamlPair(body)
		if err != nil {
			return nil, &SyntaxError{Where: where, Reason: err.Error()}
		}
		e.Where = where
		entries = append(entries, e)
	}
	return entries, nil
}

func yamlPair(line string) (Entry, error) {
	key, rest, ok := strings.Cut(line, ":")
	if !ok || (rest != "" && rest[0] != ' ' && rest[0] != '\t') {
		return Entry{}, fmt.Errorf("want key: value, got %q", line)
	}
	name, err := yamlScalar(strings.TrimSpace(key))
	if err != nil || name == "" {
		return Entry{}, fmt.Errorf("want key: value, got %q", line)
	}
	value := strings.TrimSpace(rest)
	if inner, isList := strings.CutPrefix(value, "["); isList {
		inner, closed := strings.CutSuffix(inner, "]")
		if !closed {
			return Entry{}, fmt.Errorf("a list must close on its line")
		}
		elements := splitList(inner)
		for i := range elements {
			if elements[i], err = yamlScalar(elements[i]); err != nil {
				return Entry{}, err
			}
		}
		return Entry{Name: name, Value: strings.Join(elements, ",")}, nil
	}
	value, err = yamlScalar(value)
	return Entry{Name: name, Value: value}, err
}

func yamlScalar(s string) (string, error) {
	if s == "" || s == "~" || s == "null" {
		return "", nil
	}
	switch s[0] {
	case '"':
		v, err := strconv.Unquote(s)
		if err != nil {
			return "", fmt.Errorf("malformed quoted value %s", s)
		}
		return v, nil
	case '\'':
		if len(s) < 2 || s[len(s)-1] != '\'' {
			return "", fmt.Errorf("malformed quoted value %s", s)
		}
		return strings.ReplaceAll(s[1:len(s)-1], "''", "'"), nil
	case '{', '[', '&', '*', '|', '>', '%', '@', '`', '!':
		return "", fmt.Errorf("only plain and quoted values are read, got %q", s)
	}
	return s, nil
}

// stripYAMLComment cuts the line at a # outside quotes that stands first or behind a space.
func stripYAMLComment(line string) string {
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote == '"' && c == '\\', quote == '\'' && strings.HasPrefix(line[i:], "''"):
			i++ // escaped
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case (c == '"' || c == '\'') && (i == 0 || line[i-1] == ' ' || line[i-1] == '[' || line[i-1] == ','):
			quote = c
		case c == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t'):
			return line[:i]
		}
	}
	return line
}
