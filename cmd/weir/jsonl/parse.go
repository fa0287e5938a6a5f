package jsonl

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Given says which fields that decide where a record goes a line held.
type Given struct{ Topic, Partition, Timestamp bool }

// Parse reads one line, with or without its newline. A field that is missing is null; a value (or key)
// that is neither a string nor null, such as {"a":1}, stands for its own JSON text. Headers are a list
// of {"key":..., "value":...} or of ["key", "value"] pairs, or an object, in their order. Unknown
// fields, fields given twice and strings that would lose bytes (half a surrogate pair, bytes that are
// not UTF-8) are errors. The record shares no memory with line.
func Parse(line []byte) (*kgo.Record, Given, error) {
	var given Given
	if !utf8.Valid(line) {
		return nil, given, errors.New("the line is not valid UTF-8: write such bytes as key_b64 or value_b64")
	}
	r := new(kgo.Record)
	var content pair
	err := object(line, func(name string, raw json.RawMessage) (err error) {
		switch name {
		case "topic":
			r.Topic, err = text(raw)
			given.Topic = true
		case "partition":
			r.Partition, err = number[int32](raw)
			given.Partition = true
		case "offset":
			r.Offset, err = number[int64](raw)
		case "timestamp":
			if string(raw) != "null" {
				r.Timestamp, err = timestamp(raw)
				given.Timestamp = true
			}
		case "timestamp_type": // of the record that was read; a new one gets its topic's
			_, err = text(raw)
		case "headers":
			r.Headers, err = headers(raw)
		default:
			err = content.set(name, raw)
		}
		return err
	})
	if errors.Is(err, io.EOF) { // which to a caller would mean that there are no more lines
		err = fmt.Errorf("the object has no end: %w", io.ErrUnexpectedEOF)
	}
	if err != nil {
		return nil, given, err
	}
	r.Key, r.Value = content.key, content.value
	return r, given, nil
}

// pair is a key and a value, of a record or of a header, with the names they may come under.
type pair struct {
	key, value         []byte
	keyName, valueName string
}

func (p *pair) set(name string, raw json.RawMessage) (err error) {
	into, as := &p.key, &p.keyName
	switch name {
	case "key", "key_b64":
	case "value", "value_b64":
		into, as = &p.value, &p.valueName
	default:
		return errors.New("unknown field: the fields are topic, partition, timestamp, key, key_b64, value, value_b64, headers")
	}
	if *as != "" {
		return fmt.Errorf("given beside %s", *as)
	}
	*as = name
	if name == "key_b64" || name == "value_b64" {
		*into, err = fromBase64(raw)
	} else {
		*into, err = fromJSON(raw)
	}
	return err
}

func fromJSON(raw json.RawMessage) ([]byte, error) {
	switch {
	case string(raw) == "null":
		return nil, nil
	case raw[0] == '"':
		return unquote(raw)
	}
	return bytes.Clone(raw), nil
}

func fromBase64(raw json.RawMessage) ([]byte, error) {
	if string(raw) == "null" {
		return nil, nil
	}
	s, err := text(raw)
	if err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if b == nil {
		b = []byte{}
	}
	return b, err
}

func headers(raw json.RawMessage) ([]kgo.RecordHeader, error) {
	var list []kgo.RecordHeader
	add := func(p pair) error {
		if p.key == nil {
			return errors.New("a header needs a key")
		}
		list = append(list, kgo.RecordHeader{Key: string(p.key), Value: p.value})
		return nil
	}
	switch raw[0] {
	case 'n':
		return nil, nil
	case '{':
		err := objectAny(raw, func(name string, raw json.RawMessage) error {
			value, err := fromJSON(raw)
			return errors.Join(err, add(pair{key: []byte(name), value: value}))
		})
		return list, err
	case '[':
	default:
		return nil, errors.New("want a list of headers")
	}
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, err
	}
	for i, item := range items {
		p, err := header(item)
		if err == nil {
			err = add(p)
		}
		if err != nil {
			return nil, fmt.Errorf("header %d: %w", i+1, err)
		}
	}
	return list, nil
}

func header(raw json.RawMessage) (p pair, err error) {
	if raw[0] == '{' {
		err = object(raw, p.set)
		return p, err
	}
	var two []json.RawMessage
	if json.Unmarshal(raw, &two) != nil || len(two) != 2 {
		return p, errors.New(`want {"key":..., "value":...} or ["key", "value"]`)
	}
	return p, errors.Join(p.set("key", two[0]), p.set("value", two[1]))
}

func timestamp(raw json.RawMessage) (time.Time, error) {
	if raw[0] != '"' {
		ms, err := number[int64](raw)
		return time.UnixMilli(ms).UTC(), err
	}
	s, err := text(raw)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, errors.New("want RFC 3339 (2026-11-23T09:41:07.412Z) or milliseconds since 1970")
	}
	return time.UnixMilli(t.UnixMilli()).UTC(), nil
}

func number[T int32 | int64](raw json.RawMessage) (T, error) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || int64(T(n)) != n {
		return 0, fmt.Errorf("%s is not a whole number in range", raw)
	}
	return T(n), nil
}

func text(raw json.RawMessage) (string, error) {
	if raw[0] != '"' {
		return "", fmt.Errorf("%s is not a string", raw)
	}
	b, err := unquote(raw)
	return string(b), err
}

// object calls set for each field of the object that raw is, in order, and refuses a field given twice.
func object(raw []byte, set func(name string, raw json.RawMessage) error) error {
	seen := make(map[string]bool, 8)
	return objectAny(raw, func(name string, raw json.RawMessage) error {
		if seen[name] {
			return fmt.Errorf("%s: given twice", name)
		}
		seen[name] = true
		if err := set(name, raw); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

// objectAny is object for names that may repeat.
func objectAny(raw []byte, set func(name string, raw json.RawMessage) error) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if open, err := d.Token(); err != nil {
		return err
	} else if open != json.Delim('{') {
		return errors.New("want a JSON object on each line")
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var field json.RawMessage
		if err := d.Decode(&field); err != nil {
			return err
		}
		if err := set(name.(string), field); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	if rest := bytes.TrimSpace(raw[d.InputOffset():]); len(rest) > 0 {
		return fmt.Errorf("text after the object: %.20q", rest)
	}
	return nil
}

// unquote decodes a JSON string that encoding/json has accepted, but refuses half a surrogate pair,
// which encoding/json would silently replace.
func unquote(raw []byte) ([]byte, error) {
	raw = raw[1 : len(raw)-1]
	b := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			b = append(b, raw[i])
			continue
		}
		i++
		switch raw[i] {
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r := hex4(raw[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				var low rune = utf8.RuneError
				if len(raw) > i+6 && raw[i+1] == '\\' && raw[i+2] == 'u' {
					low = hex4(raw[i+3:])
				}
				if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
					return nil, errors.New("half a surrogate pair is no text: use key_b64 or value_b64")
				}
				i += 6
			}
			b = utf8.AppendRune(b, r)
		default:
			b = append(b, raw[i])
		}
	}
	return b, nil
}

func hex4(b []byte) rune {
	n, _ := strconv.ParseUint(string(b[:4]), 16, 32) // four hex digits, or encoding/json had refused
	return rune(n)
}
