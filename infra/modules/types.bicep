// What parameters of several modules look like.

@export()
@description('A deployment of a model, and what it grants per minute.')
type deployment = {
  @description('What suites call it.')
  name: string

  @description('The model, such as gpt-5.4-mini; absent: the name of the deployment.')
  model: string?

  @description('The model version. Absent: the newest when the deployment is created; it never changes by itself.')
  version: string?

  @description('How it is billed and where it is processed; absent: GlobalStandard.')
  sku: ('GlobalStandard' | 'DataZoneStandard' | 'Standard' | 'GlobalProvisionedManaged' | 'DataZoneProvisionedManaged' | 'ProvisionedManaged')?

  @description('Thousands of tokens per minute; for the provisioned kinds, units.')
  @minValue(1)
  capacity: int

  @description('Absent: capacity x 1000. Must be said for the provisioned kinds, whose units are no tokens.')
  @minValue(1)
  tokensPerMinute: int?

  @description('Absent: capacity x 6. Models differ; what a deployment grants is in its properties, under rateLimits.')
  @minValue(1)
  requestsPerMinute: int?
}

@export()
@description('An Azure OpenAI account: one that is created, or with resourceId one of yours.')
type openAiAccount = {
  @description('What suites call it after the @, as in gpt-5.4-mini@west. The first account is the one without @.')
  @maxLength(12)
  name: string

  @description('Region; absent: the region of everything else.')
  location: string?

  @description('Resource id of an account of yours. Its deployments are taken as they are.')
  resourceId: string?

  @description('Address of an account of yours, such as https://my-account.openai.azure.com; only with resourceId.')
  endpoint: string?

  @description('The deployments that suites may name.')
  deployments: deployment[]
}
