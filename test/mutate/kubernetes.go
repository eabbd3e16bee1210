package main

// kubernetes takes away what the webhooks look at, and what makes each of their
// answers one that a failurePolicy cannot turn into a yes.
func kubernetes() []mutation {
	const around = "admission gone around"
	return []mutation{
		{around, "guard/kubernetes/review.go", `a.operation == "UPDATE" && beingDeleted(a.old)`, `beingDeleted(a.object)`, []string{"kubernetes.TestOperations", "kubernetes.TestReviewsThatARealAPIServerSent"}, nil},
		{around, "guard/kubernetes/review.go", `	if a.operation != "UPDATE" || a.old == nil`, `	if a.old == nil`, []string{"kubernetes.TestOperations"}, nil},
		{around, "guard/kubernetes/review.go", `string(image.Kind) + "/" + image.Container`, `image.Container`, []string{"kubernetes.TestOperations"}, nil},
		{around, "guard/kubernetes/review.go", `		case was == image.Value:`, `		case was != "":`, []string{"kubernetes.TestOperations"}, nil},
		{around, "guard/kubernetes/review.go", `	case a.object["apiVersion"] != a.apiVersion || a.object["kind"] != a.kind:`, `	case false:`, []string{"kubernetes.TestOperations"}, nil},
		{around, "guard/kubernetes/review.go", `a.namespace != "" && rules.Exempt(a.namespace)`, `rules.Exempt(a.objectName())`, []string{"kubernetes.TestExemptNamespacesAndWhoAsks"}, nil},
		{around, "guard/kubernetes/review.go", `	q.Pinned = !pin && rules`, `	q.Pinned = pin && rules`, []string{"kubernetes.TestValidatingDemandsThePin"}, nil},
		{around, "guard/kubernetes/review.go", `			if trouble := recover(); trouble != nil {`, `			if trouble := recover(); trouble == 0 {`, []string{"kubernetes.TestPanicIsARefusal"}, nil},
		{around, "guard/kubernetes/decide.go", `	case err == nil && !decision.Allowed():`, `	case false:`, []string{"kubernetes.TestAnAnswerThatIsNoYesIsARefusal"}, nil},
		{around, "guard/kubernetes/decide.go", `			rulings[q] = ruling{err: errLate}`, `			rulings[q] = ruling{decision: &client.Decision{}}`, []string{"kubernetes.TestTheAnswerComesInTimeWhateverTheGateDoes"}, nil},
		{around, "guard/kubernetes/decide.go", `			r = ruling{err: errors.New("the gate broke off while it decided")}`, `			r = ruling{decision: &client.Decision{}}`, []string{"kubernetes.TestAnAnswerThatIsNoYesIsARefusal"}, nil},
		{around, "guard/kubernetes/decide.go", `rule(answers[i].Decision, answers[i].Err)`, `ruling{answers[i].Decision, answers[i].Err}`, []string{"kubernetes.TestAMemoryThatIsNoneIsNotBelieved"}, nil},
		{around, "guard/kubernetes/decide.go", `			rest = questions`, ``, []string{"kubernetes.TestAMemoryThatIsNoneIsNotBelieved"}, nil},
		{around, "guard/kubernetes/conclude.go", `		if f.forbidden {`, `		if f.forbidden && len(findings) == 1 {`, []string{"kubernetes.TestARefusalTellsADeveloperAboutEveryImage"}, nil},
		{around, "guard/kubernetes/conclude.go", `		if !ok {`, `		if !ok && reason == "never" {`, []string{"kubernetes.TestBreakGlass", "kubernetes.TestOperations"}, nil},
		{around, "guard/kubernetes/conclude.go", `		d.config.Gate.BreakGlass(asker, reason)`, ``, []string{"kubernetes.TestBreakGlass"}, nil},
		{around, "guard/kubernetes/pin.go", `	if err := tuf.CheckDigest(digest); err != nil {`, `	if err := tuf.CheckDigest(digest); err != nil && digest == "" {`, []string{"kubernetes.TestADigestThatIsNoneIsNotWritten"}, nil},
		{around, "guard/kubernetes/json.go", `		"extra", "groups",`, `		"extra", "groups", "ephemeralContainers",`, []string{"kubernetes.TestNothingThatIsReadIsPassedOver"}, nil},
		{around, "guard/kubernetes/json.go", `			inner = whole`, `			inner = keep`, []string{"kubernetes.TestUsersNames"}, nil},
		{around, "guard/kubernetes/door.go", `		defer recycle(buffer)`, `		recycle(buffer)`, []string{"kubernetes.TestReviewsAtOnceAreKeptApart"}, nil},
		{around, "guard/kubernetes/json.go", `		if _, ok := object[member.name]; ok {`, `		if _, ok := object[member.name]; ok && depth < 0 {`, []string{"kubernetes.TestBodiesThatAreNotTaken"}, nil},
		{around, "guard/kubernetes/imagereview.go", `	if len(containers) == 0 {`, `	if false {`, []string{"kubernetes.TestImageReview"}, nil},
		{around, "guard/kubernetes/provider.go", `	if r.err != nil {`, `	if false {`, []string{"kubernetes.TestProvider"}, nil},
		{around, "guard/kubernetes/provider.go", `SystemError: "signet: " + reason`, `SystemError: ""`, []string{"kubernetes.TestGatekeeperIsToldThatItGetsNoAnswer"}, nil},
		{around, "guard/kubernetes/door.go", `"/kubernetes/imagereview":`, `"/kubernetes/imagereview", providerPath:`, []string{"kubernetes.TestGatekeeperIsToldThatItGetsNoAnswer"}, nil},
		{around, "guard/kubernetes/try.go", `			put(mutated.object, f.image.Key, f.pinned)`, ``, []string{"signet.TestPolicyTestIsAGate"}, nil},
		{around, "guard/kubernetes/try.go", `err != nil || !answer.Allowed {`, `err != nil {`, []string{"signet.TestPolicyTestIsAGate"}, nil},
		{around, "cmd/signet/exit.go", `		if ofObject || tuf.IsRefusal(err) {`, `		if ofObject && false || tuf.IsRefusal(err) {`, []string{"signet.TestPolicyTestIsAGate"}, nil},
		{around, "workload/images.go", `		{"ephemeralContainers", KindEphemeral},`, ``, []string{"workload.TestImagesOfEveryKind", "kubernetes.TestOperations"}, nil},
		{around, "workload/images.go", `		if source.value == nil {`, `		if source.value != 0 {`, []string{"workload.TestImagesOfEveryKind", "kubernetes.TestOperations"}, nil},
		{around, "workload/images.go", `		if list.kind == KindContainer && len(containers) == 0 {`, `		if false {`, []string{"workload.TestAMalformedObjectIsAnErrorThatNamesThePlace"}, nil},
		{around, "workload/images.go", `	if names[name] {`, `	if false {`, []string{"workload.TestAMalformedObjectIsAnErrorThatNamesThePlace"}, nil},
	}
}
