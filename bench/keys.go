package bench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// zipfExponent makes the first of a million keys take about a tenth of the records.
const zipfExponent = 1.1

// maxKeys bounds N of a key spec: keys are numbers printed with ten digits.
const maxKeys = 1_000_000_000

// keyBytes is the length of a key: "key-" and ten digits.
const keyBytes = 14

// KeyKind says how keys are drawn.
type KeyKind string

// Distributions of keys. KeysNone writes null keys.
const (
	KeysNone    KeyKind = "none"
	KeysUniform KeyKind = "uniform"
	KeysZipf    KeyKind = "zipf"
)

// KeySpec is a distribution over N keys. The zero value is KeysNone.
type KeySpec struct {
	Kind KeyKind
	N    int // count of keys, 0 for KeysNone
}

// ParseKeySpec reads "none", "uniform:N" or "zipf:N" (exponent 1.1).
func ParseKeySpec(s string) (KeySpec, error) {
	kind, count, counted := strings.Cut(s, ":")
	k := KeySpec{Kind: KeyKind(kind)}
	if counted {
		n, err := strconv.Atoi(count)
		if err != nil {
			return KeySpec{}, fmt.Errorf("keys: got %q, want none, uniform:N or zipf:N", s)
		}
		k.N = n
	}
	return k, k.validate()
}

// String returns the form that ParseKeySpec reads.
func (k KeySpec) String() string {
	if k.none() {
		return string(KeysNone)
	}
	return string(k.Kind) + ":" + strconv.Itoa(k.N)
}

// MarshalText makes a spec print as its string in JSON.
func (k KeySpec) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (k *KeySpec) UnmarshalText(b []byte) error {
	parsed, err := ParseKeySpec(string(b))
	*k = parsed
	return err
}

func (k KeySpec) none() bool { return k.Kind == "" || k.Kind == KeysNone }

func (k KeySpec) validate() error {
	if k.none() {
		if k.N != 0 {
			return errors.New("keys: none takes no count")
		}
		return nil
	}
	if k.Kind != KeysUniform && k.Kind != KeysZipf {
		return fmt.Errorf("keys: got %q, want none, uniform:N or zipf:N", string(k.Kind))
	}
	if k.N < 1 || k.N > maxKeys {
		return fmt.Errorf("keys: got %d keys, want 1 to %d", k.N, maxKeys)
	}
	return nil
}

// noKey is the key number of records without a key.
const noKey = -1

// keySource draws key numbers, noKey or in [0, N). It is not safe for concurrent use.
type keySource struct {
	spec KeySpec
	rng  *rand.Rand
	zipf *rand.Zipf
}

func newKeySource(spec KeySpec, seed uint64) *keySource {
	s := &keySource{spec: spec, rng: rand.New(rand.NewPCG(seed, 0x6b657973))}
	if spec.Kind == KeysZipf {
		s.zipf = rand.NewZipf(s.rng, zipfExponent, 1, uint64(spec.N-1))
	}
	return s
}

func (s *keySource) next() int64 {
	switch {
	case s.spec.none():
		return noKey
	case s.zipf != nil:
		return int64(s.zipf.Uint64())
	default:
		return s.rng.Int64N(int64(s.spec.N))
	}
}

// appendKey appends the bytes of key number n, keyBytes long.
func appendKey(dst []byte, n int64) []byte {
	dst = append(dst, "key-0000000000"...)
	for i := len(dst) - 1; n > 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}
