package main

// policies take away what a policy refuses, and what keeps others from making one.
func policies() []mutation {
	const pass, fetched = "policy gone around", "policy from a registry"
	return []mutation{
		{pass, "policy/match.go", `if match != nil || err != nil {`, `if match != nil {`, []string{"policy.TestMirrors"}, nil},
		{pass, "policy/match.go", `|| fits(r.Except, image)`, ``, []string{"policy.TestFirstRuleDecides"}, nil},
		{pass, "policy/match.go", `now.Before(exemption.Until) && `, ``, []string{"policy.TestExemptions", "policy.TestNoWrongYes"}, nil},
		{pass, "policy/match.go", `if now.Before(exemption.Until) && fits(exemption.Images, image) {`, `if now.Before(exemption.Until) {`, []string{"policy.TestExemptions"}, nil},
		{pass, "policy/pattern.go", `image.Tag != "" && glob`, `image.Tag == "" || glob`, []string{"policy.TestFirstRuleDecides"}, nil},
		{pass, "policy/engine.go", `				list[i].anchor.MaxStale = 0`, ``, []string{"policy.TestUnreachable"}, nil},
		{pass, "policy/engine.go", `err = judge(match.Rule, decision, q.Platform, e.config.Now())`, `_ = q.Platform`, []string{"policy.TestDemands", "policy.TestNoWrongYes"}, nil},
		{pass, "policy/engine.go", `	if q.Held && err != nil && !tuf.IsRefusal(err) {`, `	if false {`, []string{"policy.TestHeld", "policy.TestNoWrongYes"}, nil},
		{pass, "policy/engine.go", `case client.ModeWarn:`, `case client.ModeWarn, client.ModeEnforce:`, []string{"policy.TestModes", "policy.TestNoWrongYes"}, nil},
		{pass, "policy/engine.go", `			merged.Require = append(merged.Require, signer)`, ``, []string{"policy.TestAnchors"}, nil},
		{pass, "policy/engine.go", `		merged.Require[i].Keys = both`, `		_ = both`, []string{"policy.TestAnchors"}, nil},
		{pass, "policy/engine.go", `		if trouble := recover(); trouble != nil {`, `		if trouble := recover(); false {`, []string{"policy.TestPanicInDeciding"}, nil},
		{pass, "policy/judge.go", `	case !own.Trusted:`, `	case false:`, []string{"policy.TestAnswersThatAreNone", "policy.TestNoWrongYes"}, nil},
		{pass, "policy/judge.go", `	case own.Repository != image.Repository, image.Tag`, `	case image.Tag`, []string{"policy.TestAnswersThatAreNone", "policy.TestNoWrongYes"}, nil},
		{pass, "policy/judge.go", `image.Digest != "" && own.Digest != image.Digest, `, ``, []string{"policy.TestAnswersThatAreNone", "policy.TestNoWrongYes"}, nil},
		{pass, "policy/judge.go", `	case own.Expires != nil && !now.Before(*own.Expires) && own.Stale == 0:`, `	case false:`, []string{"policy.TestDemands", "policy.TestNoWrongYes"}, nil},
		{pass, "policy/judge.go", `if err == nil || tuf.IsRefusal(err) || errors.Is`, `if err == nil || errors.Is`, []string{"policy.TestUnreachable"}, nil},
		{pass, "policy/judge.go", `		case d.Checked == nil:`, `		case false:`, []string{"policy.TestDemands"}, nil},
		{pass, "policy/judge.go", `		case d.Signed == nil:`, `		case false:`, []string{"policy.TestDemands"}, nil},
		{pass, "policy/read.go", `if line, ok := lines[key.Value]; ok {`, `if line, ok := lines[key.Value]; ok && false {`, []string{"policy.TestMistakes"}, nil},
		{pass, "policy/read.go", `	case node.Anchor != "":`, `	case false:`, []string{"policy.TestMistakes"}, nil},
		{pass, "policy/kubernetes.go", `|| !anyGlob(k.Glass.Namespaces, namespace)`, ``, []string{"policy.TestKubernetes"}, nil},
		{pass, "policy/kubernetes.go", `return reason, reason != ""`, `return reason, true`, []string{"policy.TestKubernetes"}, nil},

		{fetched, "cmd/internal/policies/policies.go", `artifact != nil && artifact.Check(image.Digest, Kind) == nil {`, `artifact != nil {`, []string{"policies.TestCache"}, nil},
		{fetched, "cmd/internal/policies/policies.go", `policy.Read(artifact.Data, Scheme+image.String())`, `policy.Load(string(artifact.Data))`, []string{"policies.TestArtifact"}, nil},
		{fetched, "client/registry/artifact.go", `if got := digestOf(a.Manifest); got != digest {`, `if got := digestOf(a.Manifest); false {`, []string{"registry.TestArtifactShapes"}, nil},
		{fetched, "client/registry/artifact.go", `if got := digestOf(a.Data); got != layer.Digest.String() || int64(len(a.Data)) != layer.Size {`, `if got := digestOf(a.Data); false {`, []string{"registry.TestArtifactShapes"}, nil},
		{fetched, "client/registry/artifact.go", ` || manifest.ArtifactType != kind:`, `:`, []string{"registry.TestArtifactShapes"}, nil},
	}
}
