package group

import "errors"

// What a group answers instead of what was asked for.
var (
	// ErrUnknownMember: the id is not one of the group's members.
	ErrUnknownMember = errors.New("group: unknown member")
	// ErrFencedInstance: another member has taken over the instance id.
	ErrFencedInstance = errors.New("group: the instance id belongs to another member")
	// ErrIllegalGeneration: the member speaks of another generation than the present.
	ErrIllegalGeneration = errors.New("group: not the present generation")
	// ErrRebalanceInProgress: the member has to join again.
	ErrRebalanceInProgress = errors.New("group: a rebalance is in progress")
	// ErrInconsistentProtocol: the member and the group have no protocol in common.
	ErrInconsistentProtocol = errors.New("group: no protocol in common")
	// ErrMemberIDRequired: the newcomer has to join again with the id in the answer.
	ErrMemberIDRequired = errors.New("group: join again with the member id")
	// ErrGroupFull: the group has no room for another member or its metadata.
	ErrGroupFull = errors.New("group: no room for another member")
	// ErrSessionTimeout: the session timeout is out of bounds.
	ErrSessionTimeout = errors.New("group: session timeout out of bounds")
	// ErrMetadataTooLarge: a member's protocols or subscriptions are larger than any may be.
	ErrMetadataTooLarge = errors.New("group: the member's metadata are too large")
	// ErrFencedEpoch: the member speaks of an epoch that it cannot be in; it has to join again.
	ErrFencedEpoch = errors.New("group: the member's epoch is not the present")
	// ErrStaleEpoch: the member has a newer epoch than the request.
	ErrStaleEpoch = errors.New("group: the member has another epoch by now")
	// ErrUnreleasedInstance: another member still has the instance id.
	ErrUnreleasedInstance = errors.New("group: the instance id is in use")
	// ErrUnsupportedAssignor: the group has no assignor of that name.
	ErrUnsupportedAssignor = errors.New("group: no such assignor")
)
