{{/* What the operator may do in the hospital's namespace, and nowhere else. No wildcards, no watch on Secrets, nothing that
     runs inside a pod, nothing that changes a Dataset. */}}
{{- define "consilia.rules" -}}
- apiGroups: [consilia.dev]
  resources: [federatedjobs, hospitals, datasets, hospitaltasks]
  verbs: [get, list, watch]
- apiGroups: [consilia.dev]
  resources: [datasets/status, hospitaltasks/status]
  verbs: [patch]
- apiGroups: [consilia.dev]
  resources: [hospitaltasks]
  verbs: [create, patch, delete]
# Owner references that block deletion, where the cluster enforces who may set them.
- apiGroups: [consilia.dev]
  resources: [datasets/finalizers, hospitaltasks/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
# The heartbeat comes back through a watch of the same width as all others.
- apiGroups: [""]
  resources: [podtemplates]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [secrets, configmaps, services]
  verbs: [get, create, patch]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, create]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
# The watches are of one width for hubs and hospitals.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, create, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{- define "consilia.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "consilia.serviceAccount" . | quote }}
    namespace: {{ .Release.Namespace | quote }}
{{- end -}}
