package recordbatch

import "fmt"

// CorruptError says that bytes are not what the sender's checksum or length
// promised (CORRUPT_MESSAGE).
type CorruptError struct {
	Reason string
}

func (e *CorruptError) Error() string { return e.Reason }

func corruptf(format string, args ...any) error {
	return &CorruptError{Reason: fmt.Sprintf(format, args...)}
}

// RecordError names one refused record by its place in the batch.
type RecordError struct {
	BatchIndex int32
	Message    string
}

// InvalidRecordError says that a batch is whole but breaks a rule
// (INVALID_RECORD). RecordErrors is empty when the batch as a whole is at fault
// and otherwise holds the first records at fault, at most maxRecordErrors.
type InvalidRecordError struct {
	Reason       string
	RecordErrors []RecordError
}

func (e *InvalidRecordError) Error() string { return e.Reason }

func invalidf(format string, args ...any) error {
	return &InvalidRecordError{Reason: fmt.Sprintf(format, args...)}
}

// TimestampError says that records have a timestamp the topic refuses
// (INVALID_TIMESTAMP). RecordErrors is bounded as in InvalidRecordError.
type TimestampError struct {
	Reason       string
	RecordErrors []RecordError
}

func (e *TimestampError) Error() string { return e.Reason }

// TooLargeError says that a batch, or what it decompresses to, is larger than
// allowed (MESSAGE_TOO_LARGE).
type TooLargeError struct {
	SizeBytes int // of the batch; with Decoded, only known to be above MaxBytes
	MaxBytes  int
	Decoded   bool // the limit is that of the decompressed records
}

func (e *TooLargeError) Error() string {
	if e.Decoded {
		return fmt.Sprintf("records decompress to more than %d bytes", e.MaxBytes)
	}
	return fmt.Sprintf("record batch has %d bytes, more than %d", e.SizeBytes, e.MaxBytes)
}

// UnsupportedCodecError names a codec that is unknown or not allowed in the
// request that carried it (UNSUPPORTED_COMPRESSION_TYPE).
type UnsupportedCodecError struct {
	Codec Codec
}

func (e *UnsupportedCodecError) Error() string {
	return fmt.Sprintf("compression codec %s is not supported here", e.Codec)
}
