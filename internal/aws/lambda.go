package aws

import (
	"context"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"dynaferry/internal/fault"
)

// ServeLambda hands the events of the Lambda function that this process is to handle, one after the other, and answers with what
// it returns; its errors become errors of the function, so that Lambda tries again as its event source mapping says. The context
// has the function's deadline. It returns only when there is nobody who invokes; otherwise the process ends with the function.
func ServeLambda(ctx context.Context, handle func(ctx context.Context, event []byte) ([]byte, error)) error {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") == "" {
		return fault.Hint(fault.New(fault.User, "this is no Lambda function: AWS_LAMBDA_RUNTIME_API is not set"), "deploy the program as bootstrap for provided.al2023 (docs/guides/lambda.md), or use dynaferry follow")
	}
	lambda.StartWithOptions(handler(handle), lambda.WithContext(ctx))
	return nil
}

// handler implements lambda.Handler: bytes in, bytes out.
type handler func(ctx context.Context, event []byte) ([]byte, error)

func (h handler) Invoke(ctx context.Context, event []byte) ([]byte, error) { return h(ctx, event) }
