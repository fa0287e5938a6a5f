package config

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxFileBytes bounds a configuration file.
const MaxFileBytes = 1 << 20

// ParseFile reads a configuration file: flat YAML when the name ends in .yaml or .yml, Java
// properties otherwise. Errors are SyntaxError and name file:line.
func ParseFile(name string, data []byte) ([]Entry, error) {
	if len(data) > MaxFileBytes {
		return nil, &SyntaxError{Where: name, Reason: fmt.Sprintf("the file has %d bytes, more than %d", len(data), MaxFileBytes)}
	}
	if !utf8.Valid(data) {
		return nil, &SyntaxError{Where: name, Reason: "the file is not UTF-8 text"}
	}
	lower := strings.ToLower(name)
	if strings.HasSuffix(lower, ".yaml") || strings.HasSuffix(lower, ".yml") {
		return parseYAML(name, string(data))
	}
	return parseProperties(name, string(data))
}

// parseProperties follows the rules of java.util.Properties.load: comments start with # or !, a
// line that ends in an odd number of backslashes goes on in the next one, key and value part at
// the first unescaped =, : or white space.
func parseProperties(file, text string) ([]Entry, error) {
	var entries []Entry
	lines := strings.Split(newlines.Replace(text), "\n")
	for i := 0; i < len(lines); i++ {
		first := i
		line := strings.TrimLeft(lines[i], propertySpace)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		for endsInBackslash(line) {
			line = line[:len(line)-1]
			if i++; i == len(lines) {
				break
			}
			line += strings.TrimLeft(lines[i], propertySpace)
		}
		where := fmt.Sprintf("%s:%d", file, first+1)
		rawKey, rawValue := splitProperty(line)
		key, err := unescape(rawKey)
		if err != nil {
			return nil, &SyntaxError{Where: where, Reason: err.Error()}
		}
		value, err := unescape(rawValue)
		if err != nil {
			return nil, &SyntaxError{Where: where, Reason: err.Error()}
		}
		if key == "" {
			return nil, &SyntaxError{Where: where, Reason: "a value without a key"}
		}
		entries = append(entries, Entry{Name: key, Value: value, Where: where})
	}
	return entries, nil
}

const propertySpace = " \t\f"

var newlines = strings.NewReplacer("\r\n", "\n", "\r", "\n")

func endsInBackslash(line string) bool {
	n := len(line) - len(strings.TrimRight(line, `\`))
	return n%2 == 1
}

// splitProperty cuts a logical line into key and value, both still escaped.
func splitProperty(line string) (key, value string) {
	end := len(line)
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' {
			i++
			continue
		}
		if strings.IndexByte("=: \t\f", line[i]) >= 0 {
			end = i
			break
		}
	}
	key = line[:end]
	value = strings.TrimLeft(line[end:], propertySpace)
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = strings.TrimLeft(value[1:], propertySpace)
	}
	return key, value
}

func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			break // a lone backslash at the end of the file
		}
		switch s[i] {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 'f':
			b.WriteByte('\f')
		case 'u':
			r, n, err := unicodeEscape(s[i+1:])
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
			i += n
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}
