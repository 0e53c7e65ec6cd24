"""Every root field, asked for with all that another tenant could have learned."""

WHOLE_RECOMMENDATION = """{
    property { id } user { id buyBox { cities } } score rank modelVersion
    reasons { kind text strength property { id }
        ... on HistoryReason { deed sharedTraits { kind text } }
        ... on RangeReason { attribute low high value propertyType share }
        ... on NearnessReason { deed distanceKm }
        ... on BuyBoxReason { criteria }
        ... on EngagementReason { engagement } }
    concentration { zipcode { name before after } propertyType { name before after } }
    counterfactual { listingPrice change } }"""
EDGES = "{ edges { cursor node { id externalId } } }"
CALLS = {
    "me": ["{ me { id recommendations(first: 50) { edges { node { property { id } } } } } }"],
    "node": ["query ($property: ID!) { node(id: $property) { id } }",
             "query ($user: ID!) { node(id: $user) { id } }"],
    "nodes": ["query ($property: ID!, $user: ID!) { nodes(ids: [$property, $user]) { id } }"],
    "user": ["query ($user: ID!) { user(id: $user) { id email buyBox { cities } } }"],
    "users": ["{ users(first: 100) { totalCount edges { cursor node { id email } } } }",
              f"query ($users: String) {{ users(first: 100, after: $users) {EDGES} }}",
              """query ($external: String!) { users(filter: {text: $external}) {
                  totalCount edges { node { id } } } }"""],
    "property": [
        "query ($property: ID!) { property(id: $property) { id externalId } }",
        """query ($own: ID!) { property(id: $own) {
            interestedUsers(first: 100) { totalCount modelVersion reason { text }
                edges { node { score user { id } } } } } }""",
        """query ($own: ID!, $interested: String) { property(id: $own) {
            interestedUsers(after: $interested) { edges { node { user { id } } } } } }""",
    ],
    "similarUsers": [
        "query ($user: ID!) { similarUsers(userId: $user) { edges { similarity } } }",
        """query ($ownUser: ID!) { similarUsers(userId: $ownUser, first: 100) {
            totalCount edges { similarity node { id } } } }""",
        """query ($ownUser: ID!, $kin: String) { similarUsers(userId: $ownUser, after: $kin) {
            edges { node { id } } } }""",
    ],
    "properties": [
        "{ properties(first: 100) { totalCount edges { node { id externalId } } } }",
        f"query ($page: String) {{ properties(first: 100, after: $page) {EDGES} }}",
        f"query ($page: String) {{ properties(last: 100, before: $page) {EDGES} }}",
    ],
    "propertyFacets": [
        """{ propertyFacets { zipcodes { values { value } } cities { values { value count } }
            states { missing } price { bands { count } } } }""",
        """query ($property: ID!, $external: String!) { propertyFacets(filter: {
            ids: [$property], externalIds: [$external]}) { cities { values { value } } } }""",
    ],
    "similarTo": [
        f"query ($vector: [Float!]!) {{ similarTo(vector: $vector, first: 100) {EDGES} }}",
        f"""query ($vector: [Float!]!, $property: ID!) {{
            similarTo(vector: $vector, filter: {{ids: [$property]}}) {EDGES} }}""",
        f"""query ($vector: [Float!]!, $near: String) {{
            similarTo(vector: $vector, after: $near) {EDGES} }}""",
    ],
    "similarProperties": [
        f"query ($property: ID!) {{ similarProperties(propertyId: $property) {EDGES} }}",
        f"query ($own: ID!) {{ similarProperties(propertyId: $own, first: 100) {EDGES} }}",
        """query ($own: ID!) { similarProperties(propertyId: $own) {
            modelVersion reason { text } edges { cursor } } }""",
        f"""query ($own: ID!) {{
            similarProperties(propertyId: $own, first: 100, diversity: 0.5) {EDGES} }}""",
        f"""query ($own: ID!, $similar: String) {{
            similarProperties(propertyId: $own, first: 100, after: $similar) {EDGES} }}""",
    ],
    "recommendations": [
        f"{{ recommendations(first: 100) {{ edges {{ node {WHOLE_RECOMMENDATION} }} }} }}",
        f"""{{ recommendations(first: 100, diversity: 0.5) {{
            edges {{ node {WHOLE_RECOMMENDATION} }} }} }}""",
        """query ($user: ID!) { recommendations(userId: $user) { edges { cursor } } }""",
        """query ($ranked: String) { recommendations(first: 100, after: $ranked) {
            edges { node { property { id } } } } }""",
        """query ($varied: String) { recommendations(first: 100, after: $varied, diversity: 0.5) {
            edges { node { property { id } } } } }""",
    ],
    "affinity": [
        "query ($property: ID!) { affinity(propertyIds: [$property]) { score } }",
        """query ($own: ID!, $user: ID!) { affinity(propertyIds: [$own], userId: $user) {
            score modelVersion reason { text } } }""",
        "query ($own: ID!, $property: ID!) { affinity(propertyIds: [$own, $property]) { score } }",
    ],
    "activeModel": ["{ activeModel { id number parent { id } drift { level } } }"],
    "modelVersions": [
        "{ modelVersions(first: 100) { totalCount edges { cursor node { id number } } } }",
        """query ($versions: String) { modelVersions(after: $versions) {
            edges { node { id } } } }""",
        "query ($version: ID!) { modelVersions { totalCount } node(id: $version) { id } }",
    ],
    "jobRuns": [
        "{ jobRuns(first: 100) { totalCount edges { cursor node { id arguments result } } } }",
        "query ($runs: String) { jobRuns(first: 100, before: $runs) { edges { node { id } } } }",
        "query ($run: ID!) { jobRuns { totalCount } node(id: $run) { id } }",
    ],
    "imports": [
        """{ imports(first: 100) { totalCount
            edges { cursor node { id source actor mapping options } } } }""",
        "query ($imports: String) { imports(first: 100, after: $imports) { edges { cursor } } }",
        "query ($import: ID!) { imports { totalCount } node(id: $import) { id } }",
    ],
    "undoImport": [
        """mutation ($import: ID!) { undoImport(input: {importId: $import}) {
            import { id } left { name } errors { code } } }"""
    ],
    "startTraining": [
        "mutation { startTraining(input: {warm: true}) { job { id } errors { code } } }"
    ],
    "startReindex": ["mutation { startReindex(input: {}) { job { id } errors { code } } }"],
    "activateModel": [
        """mutation ($version: ID!) { activateModel(input: {versionId: $version}) {
            modelVersion { id } job { id } errors { code } } }"""
    ],
    "submitFeedback": [
        """mutation ($property: ID!) { submitFeedback(input: {
            propertyId: $property, sentiment: THUMBS_DOWN}) { errors { code } } }""",
        """mutation ($own: ID!, $user: ID!) { submitFeedback(input: {
            propertyId: $own, userId: $user, sentiment: THUMBS_UP}) { errors { code } } }""",
    ],
    "retractFeedback": [
        """mutation ($property: ID!, $user: ID!) { retractFeedback(input: {
            propertyId: $property, userId: $user}) { retracted errors { code } } }"""
    ],
    "recordInteraction": [
        """mutation ($property: ID!, $user: ID!) { recordInteraction(input: {
            propertyId: $property, userId: $user, kind: DEAL}) { errors { code } } }"""
    ],
    "setBuyBox": [
        """mutation ($user: ID!) { setBuyBox(input: {
            userId: $user, cities: ["Nowhere"]}) { user { id } errors { code } } }"""
    ],
    "upsertProperties": [
        """mutation ($external: String!) { upsertProperties(input: {properties: [
            {externalId: $external, listingPrice: 1}]}) { created updated } }"""
    ],
    "upsertUsers": [
        """mutation ($member: String!, $email: String!) { upsertUsers(input: {users: [
            {externalId: $member, email: $email, active: false, role: VIEWER}]}) {
            results { outcome user { externalId role } } errors { code message } } }"""
    ],
    "deleteUser": [
        """mutation ($user: ID!) { deleteUser(input: {userId: $user}) {
            deletedUserId errors { code } } }"""
    ],
    "deleteProperty": [
        """mutation ($property: ID!) { deleteProperty(input: {propertyId: $property}) {
            deletedPropertyId errors { code } } }"""
    ],
}  # fmt: skip
