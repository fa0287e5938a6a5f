package command

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
)

// findTopics returns what the cluster knows of the topics named, in the order given and once each. With
// regex, each name is an expression and the topics that match any of them come sorted; Kafka's own
// internal topics only when internal is set. No match at all is an error, and so is a name that does not
// exist.
func findTopics(ctx context.Context, cl *connect.Client, names []string, regex, internal bool) ([]kadm.TopicDetail, error) {
	if regex {
		return matchTopics(ctx, cl, names, internal)
	}
	names = distinct(names)
	details, err := listTopics(ctx, cl, names...)
	if err != nil {
		return nil, err
	}
	found := make([]kadm.TopicDetail, 0, len(names))
	for _, name := range names {
		d, ok := details[name]
		if !ok || d.Err == kerr.UnknownTopicOrPartition {
			return nil, missingTopic(ctx, cl, name)
		}
		if d.Err != nil {
			return nil, fault.Explain(fmt.Sprintf("cannot look up topic %q", name), d.Err)
		}
		found = append(found, d)
	}
	return found, nil
}

func matchTopics(ctx context.Context, cl *connect.Client, patterns []string, internal bool) ([]kadm.TopicDetail, error) {
	expressions := make([]*regexp.Regexp, len(patterns))
	for i, p := range patterns {
		re, err := regexp.Compile(p)
		if err != nil {
			return nil, fault.Usage("%q is no regular expression: %v", p, err)
		}
		expressions[i] = re
	}
	details, err := listTopics(ctx, cl)
	if err != nil {
		return nil, err
	}
	var found []kadm.TopicDetail
	for _, d := range details.Sorted() {
		matches := func(re *regexp.Regexp) bool { return re.MatchString(d.Topic) }
		if (internal || !d.IsInternal) && slices.ContainsFunc(expressions, matches) {
			found = append(found, d)
		}
	}
	if len(found) == 0 {
		return nil, &fault.Error{What: fmt.Sprintf("no topic on %s matches %q", cl.Seeds, patterns), Do: "List what is there: weir topic list"}
	}
	return found, nil
}

func listTopics(ctx context.Context, cl *connect.Client, names ...string) (kadm.TopicDetails, error) {
	ctx, cancel := context.WithTimeout(ctx, cl.Timeout)
	defer cancel()
	details, err := cl.Admin.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return nil, cl.Explain("cannot list the topics of "+cl.Seeds, err)
	}
	return details, nil
}

// missingTopic is the error for a name that no topic has.
func missingTopic(ctx context.Context, cl *connect.Client, name string) error {
	e := &fault.Error{
		What: fmt.Sprintf("topic %q does not exist on %s", name, cl.Seeds), Code: kerr.UnknownTopicOrPartition.Message,
		Do: "Create it: weir topic create " + name, Err: kerr.UnknownTopicOrPartition,
	}
	if all, err := listTopics(ctx, cl); err == nil {
		e.Why = fault.DidYouMean(name, all.Names())
	}
	return e
}

// missingPartition is the error for a partition number that a topic does not have.
func missingPartition(topic kadm.TopicDetail, partition int32) error {
	return &fault.Error{
		What: fmt.Sprintf("topic %q has no partition %d", topic.Topic, partition), Code: kerr.UnknownTopicOrPartition.Message,
		Why: fmt.Sprintf("It has %d, counted from 0", len(topic.Partitions)),
		Do:  "See them: weir topic describe " + topic.Topic, Err: kerr.UnknownTopicOrPartition,
	}
}

func distinct(names []string) []string {
	seen := map[string]bool{}
	var once []string
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			once = append(once, n)
		}
	}
	return once
}

// completionTimeout bounds how long pressing TAB may ask a broker that does not answer.
const completionTimeout = time.Second

// completeTopics offers the names of topics, at most most of them on a line (-1: any number). It is
// silent when no broker answers.
func completeTopics(s *Streams, o *connect.Options, most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if most >= 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names := topicNames(cmd.Context(), s, o)
		names = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(args, n) })
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func topicNames(ctx context.Context, s *Streams, o *connect.Options) (names []string) {
	atOnce(ctx, s, o, func(ctx context.Context, cl *connect.Client) {
		if details, err := cl.Admin.ListTopics(ctx); err == nil {
			names = details.Names()
		}
	})
	return names
}

// atOnce asks a broker for what a person waits for at a key, if one answers soon.
func atOnce(ctx context.Context, s *Streams, o *connect.Options, ask func(context.Context, *connect.Client)) {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	quick := *o
	quick.Timeout, quick.Verbose = completionTimeout, false
	cl, err := quick.Open(ctx, s.Getenv, s.Err)
	if err != nil {
		return
	}
	defer cl.Close()
	ask(ctx, cl)
}
