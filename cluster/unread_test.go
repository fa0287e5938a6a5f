package cluster

import (
	"testing"
)

func TestUnreadRefusesMalformedQuestions(t *testing.T) {
	n := &Node{}
	n.topics.Store(newTopicSet(nil))
	for _, b := range [][]byte{nil, {}, {2}, make([]byte, 1+unreadQueryBytes), append([]byte{unreadVersion}, make([]byte, unreadQueryBytes-1)...),
		append([]byte{unreadVersion}, make([]byte, (maxUnreadPerCall+1)*unreadQueryBytes)...)} {
		if _, err := n.handleUnread(t.Context(), 2, b); err == nil {
			t.Errorf("%d bytes are answered", len(b))
		}
	}
	for _, count := range []int{0, 1, maxUnreadPerCall} { // of a topic that is not there
		answer, err := n.handleUnread(t.Context(), 2, append([]byte{unreadVersion}, make([]byte, count*unreadQueryBytes)...))
		if err != nil || len(answer) != 1+count*unreadAnswerBytes {
			t.Errorf("%d questions: %d bytes, %v", count, len(answer), err)
		}
		for i := 1; i < len(answer); i += unreadAnswerBytes {
			if answer[i] != 0 {
				t.Fatalf("question %d: it is known", i)
			}
		}
	}
}
