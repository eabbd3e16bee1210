package door

// An Asker is who wants to know, for the decision log.
type Asker struct {
	Door      string // "containerd", "admission"
	Who       string // see Who
	Object    string // what is to run the image: "Deployment/app", "" when not known
	Namespace string // of the object
	// Peer is who brought the question where Who is that one's word: the API server.
	Peer string
}
